// Cases, failures, errors and skipped ones of a JUnit file, as the parsers of two reporters find them.
import { readFileSync } from "node:fs";

const [parser, path] = process.argv.slice(2);
const text = readFileSync(path, "utf8");
let cases;
if (parser === "xml-js") {
  const { default: convert } = await import("xml-js");
  cases = convert.xml2js(text, { compact: true }).testsuites.testsuite.testcase;
} else {
  const { default: xml2js } = await import("xml2js");
  cases = (await xml2js.parseStringPromise(text)).testsuites.testsuite[0].testcase;
}
const count = (name) => cases.filter((one) => one[name] !== undefined).length;
console.log(cases.length, count("failure"), count("error"), count("skipped"));
