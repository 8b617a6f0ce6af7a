// Redoc over the document, in the colours of windsock.css.
"use strict";
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";
const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

const LIGHT = {
  colors: {
    primary: { main: "#0b6285" },
    text: { primary: "#1d2630", secondary: "#55626f" },
    http: { get: "#1f7a33", post: "#11629e", put: "#8a4176", patch: "#a8480f", delete: "#b92c2c" },
  },
  schema: { nestedBackground: "#f4f6f8" },
  sidebar: { backgroundColor: "#f4f6f8", textColor: "#1d2630" },
  typography: { code: { color: "#a3341a", backgroundColor: "#f0f2f5" } },
  rightPanel: { backgroundColor: "#17232e" },
  codeBlock: { backgroundColor: "#0e1820" },
};

const DARK = {
  colors: {
    primary: { main: "#6cc1e6", light: "#9ad5ef", dark: "#6cc1e6" },
    success: { main: "#7bcf8b" },
    warning: { main: "#f0b866", dark: "#f0b866" },
    error: { main: "#ff8d85" },
    gray: { 50: "#1c242d", 100: "#26313c" },
    text: { primary: "#dde4ea", secondary: "#a4b0bb" },
    border: { dark: "#3a4752", light: "#26313c" },
    responses: {
      success: { color: "#7bcf8b", backgroundColor: "#17301e", tabTextColor: "#7bcf8b" },
      error: { color: "#ff8d85", backgroundColor: "#3a1d1c", tabTextColor: "#ff8d85" },
      redirect: { color: "#f0b866", backgroundColor: "#362810", tabTextColor: "#f0b866" },
      info: { color: "#6cc1e6", backgroundColor: "#14303d", tabTextColor: "#6cc1e6" },
    },
    http: { get: "#1f7a33", post: "#11629e", put: "#8a4176", patch: "#a8480f", delete: "#b92c2c" },
  },
  schema: { linesColor: "#4d7f96", nestedBackground: "#1c242d", typeNameColor: "#a4b0bb", requireLabelColor: "#ff8d85" },
  sidebar: {
    backgroundColor: "#1a222b",
    textColor: "#dde4ea",
    activeTextColor: "#6cc1e6",
    groupItems: { activeBackgroundColor: "#26313c", activeTextColor: "#6cc1e6" },
    level1Items: { activeBackgroundColor: "#212b35", activeTextColor: "#6cc1e6" },
  },
  typography: { code: { color: "#ffb08a", backgroundColor: "#26313c" }, links: { hover: "#9ad5ef" } },
  rightPanel: {
    backgroundColor: "#10161c",
    servers: { overlay: { backgroundColor: "#1c242d", textColor: "#dde4ea" }, url: { backgroundColor: "#10161c" } },
  },
  codeBlock: { backgroundColor: "#0a0f13" },
  fab: { backgroundColor: "#26313c", color: "#6cc1e6" },
};

const SHARED = { typography: { fontFamily: FONT, fontSize: "15px", headings: { fontFamily: FONT, fontWeight: "600" }, code: { fontFamily: MONO } } };

function merge(base, more) {
  const both = { ...base };
  for (const [key, value] of Object.entries(more)) {
    both[key] = value instanceof Object && base[key] ? merge(base[key], value) : value;
  }
  return both;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => location.reload());  // Redoc computes its colours once
const main = document.getElementById("main");
const options = {
  theme: merge(SHARED, dark.matches ? DARK : LIGHT),
  hideDownloadButtons: true,  // the header has them, in sight all the time
  nativeScrollbars: true,
  scrollYOffset: ".bar",
};
const reachPres = () => {
  for (const wide of main.querySelectorAll("pre")) wide.tabIndex = 0;  // to scroll it with the keyboard
};
readDocument(main.dataset.document).then((spec) => Redoc.init(spec, options, main, reachPres)).catch(complain);
