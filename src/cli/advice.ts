/**
 * What to do about an error, by its code, in the command line's own words.
 *
 * @module
 */

/** Errors speak of options of the library; here these have other names. */
export const ADVICE: Readonly<Record<string, string>> = {
  INVALID_TOPIC_EXCEPTION: "A name has up to 249 letters, digits, dots, dashes and underscores.",
  SASL_AUTHENTICATION_FAILED: "Check user name and password, and that they are known for this mechanism.",
  UNSUPPORTED_SASL_MECHANISM: "Choose one of the broker's mechanisms with -X sasl.mechanism=NAME.",
  TLS_PORT:
    "Give -X security.protocol=ssl (or sasl_ssl), and -X ssl.ca.location=FILE if no public authority has signed it.",
  PLAIN_PORT: "Leave out -X security.protocol, or give sasl_plaintext where the broker asks who you are.",
  SASL_REQUIRED: "Give -X sasl.mechanism=NAME, sasl.username and sasl.password, or a --config FILE with them.",
};
