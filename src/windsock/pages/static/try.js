// Swagger UI over the document, for requests to this server. Credentials stay in the memory of this page.
"use strict";
const main = document.getElementById("main");
const { api, docs, credentials } = main.dataset;
const DESCRIPTION = `
Choose **Authorize** and sign in, open an operation, choose **Try it out** and **Execute**. Requests go to this server
and change what they say they change. Your password or token is kept until you leave this page, and nowhere else.
What an operation means is told in the [documentation](${docs}).`;

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// What may be left out is not filled in: the examples of all filters together find nothing.
function leaveEmpty(parameter) {
  if (parameter.required || !("example" in parameter)) return;
  const example = [parameter.example].flat().join(",");
  parameter.description += `\n\nExample: \`${example}\``;
  delete parameter.example;
}

function prepare(spec) {
  parametersOf(spec).forEach(leaveEmpty);
  spec.servers = [{ url: new URL(api, location.href).href }];  // the way that this page came
  spec.info.description = DESCRIPTION;
  const schemes = spec.components.securitySchemes;
  for (const [name, { scheme }] of Object.entries(schemes)) {
    if (scheme !== "basic" && scheme !== "bearer") delete schemes[name];  // nothing that could be typed in
  }
  const text = JSON.stringify(spec).replaceAll("](#", `](${docs}#`);  // links into the documentation
  return JSON.parse(text);
}

// Names for those who do not see where a field stands; Swagger UI gives it none.
const LABELS = {
  "#servers": "Server",
  ".close-modal": "Close",
  ".content-type, .response-control-media-type select": "Media type",
  ".examples-select-element": "Example",
  ".body-param__text": "Request body",
};

function label() {
  for (const [selector, name] of Object.entries(LABELS)) {
    for (const control of main.querySelectorAll(selector)) control.ariaLabel = name;
  }
  for (const row of main.querySelectorAll("tr[data-param-name]")) {
    for (const control of row.querySelectorAll("input, select, textarea")) control.ariaLabel = row.dataset.paramName;
  }
  for (const inner of main.querySelectorAll("main")) inner.role = "group";  // one is enough, and ours holds all
  for (const wide of main.querySelectorAll("pre")) wide.tabIndex = 0;  // to scroll it with the keyboard
}
new MutationObserver(label).observe(main, { childList: true, subtree: true });

readDocument(`${api}/openapi.json`).then((spec) => SwaggerUIBundle({
  spec: prepare(spec),
  domNode: main,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: false,
  requestInterceptor: (request) => Object.assign(request, { credentials }),  // see _credentials in __init__.py
  validatorUrl: null,
})).catch(complain);
