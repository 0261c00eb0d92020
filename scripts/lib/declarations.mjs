/**
 * What the sources declare: the exported names of each entry point, and the text of each declaration with its docstring.
 *
 * Deno says which names there are and where each is declared, TypeScript's parser has the texts. Nothing is type-checked.
 */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { root, run, runtimeBinary } from "./tools.mjs";

/** @type {any} The parser: its own types are those of another version than the project has. */
const ts = createRequire(join(root, "scripts/tools/package.json"))("typescript");

/**
 * @typedef {{ doc: string, tags: { name: string, text: string }[] }} Doc
 * @typedef {Doc & { name: string, text: string, type: string, optional: boolean, isMethod: boolean }} Member
 * @typedef {Doc & { name: string, kind: string, file: string, line: number, text: string, members: Member[] }} Declared
 */

/**
 * The entry points of deno.json in their order, each with its docstring and what it exports; types of the same name and
 * place are the same object in each of them.
 *
 * @returns {Promise<{ path: string, file: string, doc: Doc, declared: Declared[] }[]>}
 */
export async function declarations() {
  const { exports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const files = Object.values(exports);
  const { code, stdout, output } = await run(runtimeBinary("deno"), ["doc", "--json", ...files]);
  if (code !== 0) throw new Error(`deno doc failed: ${output}`);
  const nodes = new Map(
    Object.entries(JSON.parse(stdout).nodes).map(([url, node]) => [relative(root, fileURLToPath(url)), node]),
  );
  const known = new Map();
  const entries = [];
  for (const [path, source] of Object.entries(exports)) {
    const file = source.replace(/^\.\//, "");
    const { module_doc: module, symbols } = nodes.get(file);
    const declared = [];
    for (const { name, declarations: places } of symbols) {
      const { location } = places[0];
      const key = `${location.filename}:${location.line}:${name}`;
      if (!known.has(key)) {
        known.set(key, await declarationAt(fileURLToPath(location.filename), location.line + 1, name));
      }
      declared.push(known.get(key));
    }
    entries.push({ path, file, doc: { doc: withoutLinks(module?.doc ?? ""), tags: [] }, declared });
  }
  return entries;
}

const parsed = new Map();

async function sourceOf(path) {
  if (!parsed.has(path)) {
    const text = await readFile(path, "utf8");
    parsed.set(path, ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  }
  return parsed.get(path);
}

async function declarationAt(path, line, name) {
  const source = await sourceOf(path);
  const lineOf = (node) => source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
  const nodes = source.statements.filter((node) => {
    return node.getEnd() >= source.getPositionOfLineAndCharacter(line - 1, 0) && lineOf(node) <= line;
  });
  const node = nodes.find((each) => nameOf(each, name)) ?? nodes[0];
  if (node === undefined) throw new Error(`Nothing is declared at ${path}:${line}`);
  const declared = { name, file: relative(root, path), line, ...docOf(node), ...describe(node, source) };
  const inherited = await baseOf(node, source, path);
  const own = new Set(declared.members.map((member) => member.name));
  const text = inherited.length === 0 ? declared.text : declared.text.replace(/\s+extends [^]*$/, "");
  return { ...declared, text, members: [...declared.members, ...inherited.filter((member) => !own.has(member.name))] };
}

/** What a class has from one of another file, such as the core's producer; errors tell what they have themselves. */
async function baseOf(node, source, path) {
  if (!ts.isClassDeclaration(node)) return [];
  const clause = node.heritageClauses?.find(({ token }) => token === ts.SyntaxKind.ExtendsKeyword);
  const base = clause?.types[0].expression.getText();
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement)) continue;
    const names = statement.importClause?.namedBindings;
    const found = names !== undefined && ts.isNamedImports(names) && names.elements.find((it) => it.name.text === base);
    if (!found) continue;
    const target = join(dirname(path), statement.moduleSpecifier.text);
    const original = (found.propertyName ?? found.name).text;
    const there = await sourceOf(target);
    const declared = there.statements.find((it) => ts.isClassDeclaration(it) && it.name?.text === original);
    return declared === undefined ? [] : describe(declared, there).members;
  }
  return [];
}

function nameOf(node, name) {
  if (ts.isVariableStatement(node)) return node.declarationList.declarations.some((it) => it.name.getText() === name);
  return node.name?.getText() === name;
}

/** What kind of thing it is, its head as it is written, and what it consists of. */
function describe(node, source) {
  const text = (from, to) => dedent(source.text.slice(from, to)).replace(/^export /, "");
  const start = node.getStart(source);
  if (ts.isFunctionDeclaration(node)) {
    const overloads = source.statements.filter((it) =>
      ts.isFunctionDeclaration(it) && it.name?.text === node.name?.text
    );
    const heads = overloads.filter((it) => overloads.length === 1 || it.body === undefined)
      .map((it) => text(it.getStart(source), it.body?.getStart(source) ?? it.getEnd()).trim());
    return { kind: "function", text: heads.join("\n"), members: [] };
  }
  if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
    const body = node.members.filter(isPublic).map((member) => memberOf(member, source));
    const opening = source.text.indexOf("{", node.heritageClauses?.end ?? node.typeParameters?.end ?? node.name.end);
    const head = text(start, opening).trim();
    return {
      kind: ts.isClassDeclaration(node) ? "class" : "interface",
      text: head,
      members: withoutImplementations(body),
    };
  }
  if (ts.isTypeAliasDeclaration(node)) return { kind: "type", text: text(start, node.getEnd()), members: [] };
  if (ts.isVariableStatement(node)) {
    const [{ name, type, initializer }] = node.declarationList.declarations;
    const members = type !== undefined && ts.isTypeLiteralNode(type)
      ? type.members.map((member) => memberOf(member, source))
      : [];
    const value = type === undefined && initializer !== undefined ? ` = ${initializer.getText()}` : "";
    const shown = members.length > 0 ? "" : type === undefined ? value : `: ${dedent(type.getText())}`;
    return { kind: "const", text: `const ${name.getText()}${shown}`, members };
  }
  return { kind: "other", text: text(start, node.getEnd()), members: [] };
}

function isPublic(member) {
  const isPrivate = member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
  if (isPrivate || (member.name !== undefined && ts.isPrivateIdentifier(member.name))) return false;
  if (ts.getJSDocTags(member).some(({ tagName }) => tagName.text === "internal")) return false;
  return !ts.isClassStaticBlockDeclaration(member) && !ts.isSemicolonClassElement(member);
}

function memberOf(member, source) {
  const end = member.body?.getStart(source) ?? member.initializer?.getFullStart() ?? member.getEnd();
  const isConstructor = ts.isConstructorDeclaration(member);
  const text = dedent(source.text.slice(member.getStart(source), end)).trim()
    .replace(/\s*=$/, "").replace(/;$/, "").replace(/^(override|readonly|declare|async) /, "").replace(
      /^readonly /,
      "",
    );
  return {
    name: isConstructor ? "constructor" : member.name?.getText() ?? "",
    text,
    type: member.type === undefined ? "" : dedent(member.type.getText()).replace(/\s*\n\s*/g, " "),
    optional: member.questionToken !== undefined,
    isMethod: isConstructor || ts.isMethodDeclaration(member) || ts.isMethodSignature(member),
    hasBody: member.body !== undefined,
    ...docOf(member),
  };
}

/** Of a method with overloads these are what a caller sees. */
function withoutImplementations(members) {
  return members.filter(({ name, hasBody }) =>
    !hasBody || !members.some((it) => it.name === name && !it.hasBody && it.isMethod)
  );
}

/** @returns {Doc} */
function docOf(node) {
  const [comment] = (ts.getJSDocCommentsAndTags(node) ?? []).filter((it) => ts.isJSDoc(it)).slice(-1);
  if (comment === undefined) return { doc: "", tags: [] };
  const textOf = (part) => withoutLinks(ts.getTextOfJSDocComment(part.comment) ?? "");
  const tags = (comment.tags ?? []).map((tag) => {
    const name = tag.tagName.text;
    const of = ts.isJSDocParameterTag(tag) ? `${tag.name.getText()} ` : "";
    const type = ts.isJSDocThrowsTag(tag) && tag.typeExpression ? `${tag.typeExpression.type.getText()} ` : "";
    return { name, text: `${of}${type}${textOf(tag)}`.trim() };
  });
  return { doc: textOf(comment).trim(), tags };
}

function withoutLinks(text) {
  return text.replace(
    /\{@link(?:code|plain)? ([^}|\s]+)(?:[|\s]+([^}]+))?\}/g,
    (_, name, label) => label ?? `\`${name}\``,
  );
}

/** Without the indentation that all lines but the first share. */
function dedent(text) {
  const lines = text.split("\n");
  const depths = lines.slice(1).filter((line) => line.trim() !== "").map((line) => /^ */.exec(line)[0].length);
  const depth = Math.min(...depths);
  return [lines[0], ...lines.slice(1).map((line) => line.slice(depth === Infinity ? 0 : depth))].join("\n");
}

/**
 * Every code that a source gives an error by name: the classes, and what is said of it beside the code. Undefined is what
 * isn't said there in so many words, so the class decides, or what is known when it happens.
 *
 * @param {string[]} files
 * @returns {Promise<Map<string, { className: string | undefined, retriable: string | undefined, persisted: string | undefined }[]>>}
 */
export async function errorCodes(files) {
  const found = new Map();
  /** Classes that are made somewhere with more than "no" in `persisted`, or with options that come from elsewhere. */
  const doubtful = new Set();
  for (const file of files) {
    const visit = (node) => {
      if (ts.isNewExpression(node) && node.arguments?.some(maySayPersisted)) doubtful.add(node.expression.getText());
      if (ts.isPropertyAssignment(node) && node.name.getText() === "code") {
        for (const text of stringsOf(node.initializer)) {
          if (!/^[A-Z][A-Z_]+$/.test(text)) continue;
          const said = (name) => node.parent.properties.find((it) => it.name?.getText() === name);
          const valueOf = (name) => said(name)?.initializer?.getText().replace(/ as const$/, "").replaceAll('"', "");
          const isSpread = node.parent.properties.some((it) => ts.isSpreadAssignment(it));
          const persisted = said("persisted") === undefined
            ? (isSpread ? undefined : "no")
            : valueOf("persisted") ?? "depends";
          const known = found.get(text) ?? [];
          known.push({ className: classOf(node), retriable: valueOf("retriable"), persisted });
          found.set(text, known);
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(await sourceOf(join(root, file)));
  }
  for (const place of [...found.values()].flat()) {
    if (place.persisted === undefined && place.className !== undefined && !doubtful.has(place.className)) {
      place.persisted = "no";
    }
  }
  return found;
}

function maySayPersisted(argument) {
  if (ts.isIdentifier(argument)) return /options|fields|fate|context/i.test(argument.text);
  if (!ts.isObjectLiteralExpression(argument)) return false;
  return argument.properties.some((it) => {
    if (ts.isSpreadAssignment(it)) return true;
    return it.name?.getText() === "persisted" && it.initializer?.getText() !== '"no"';
  });
}

/** A text, or both of a choice between two. */
function stringsOf(node) {
  if (ts.isStringLiteral(node)) return [node.text];
  return ts.isConditionalExpression(node) ? [...stringsOf(node.whenTrue), ...stringsOf(node.whenFalse)] : [];
}

/** The class that is made with these options, or whose constructor hands them up. */
function classOf(node) {
  for (let at = node.parent; at !== undefined; at = at.parent) {
    if (ts.isNewExpression(at)) return at.expression.getText();
    if (ts.isCallExpression(at) && at.expression.kind === ts.SyntaxKind.SuperKeyword) continue;
    if (ts.isClassDeclaration(at)) return at.name?.text;
    if (ts.isStatement(at) && !ts.isExpressionStatement(at) && !ts.isBlock(at)) return undefined;
  }
  return undefined;
}
