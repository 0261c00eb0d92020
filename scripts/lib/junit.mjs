/** Reads the JUnit reports of the runners into one shape: name, status, seconds, detail. */

import { XMLParser } from "fast-xml-parser";

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: (name) => ["testsuite", "testcase", "failure", "error", "skipped"].includes(name),
});

/** Every test case of a report, however deep its suites are nested. */
export function readJunit(xml) {
  const cases = [];
  const visit = (node) => {
    for (const suite of node.testsuite ?? []) visit(suite);
    for (const each of node.testcase ?? []) cases.push(readCase(each));
  };
  const document = parser.parse(xml);
  visit(document.testsuites ?? document);
  return cases;
}

function readCase(node) {
  const broken = node.failure?.[0] ?? node.error?.[0];
  const seconds = Number(node["@time"] ?? 0);
  if (broken !== undefined) return { name: node["@name"], status: "failed", seconds, detail: text(broken) };
  if (node.skipped !== undefined) {
    return { name: node["@name"], status: "skipped", seconds, detail: text(node.skipped[0]) };
  }
  return { name: node["@name"], status: "passed", seconds };
}

function text(node) {
  if (typeof node === "string") return node;
  return node["#text"] ?? node["@message"] ?? "";
}
