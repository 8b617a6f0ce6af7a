// The served document for the eyes: without the defaults that published.py adds for importers, which look like real ones.
"use strict";

function operationsOf(spec) {
  return Object.values(spec.paths).flatMap((item) => [item, ...Object.values(item)]);
}

function parametersOf(spec) {
  const inline = operationsOf(spec).flatMap(({ parameters = [] }) => parameters).filter((one) => one.schema);
  return [...Object.values(spec.components.parameters), ...inline];
}

function withoutDefault({ required, schema }) {
  if (required) delete schema.default;
  if (schema.default === null) {
    delete schema.default;
    delete schema.nullable;
  }
}

async function readDocument(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  const spec = await response.json();
  parametersOf(spec).forEach(withoutDefault);
  const bodies = [...operationsOf(spec).map((one) => one.requestBody), ...Object.values(spec.components.requestBodies ?? {})];
  for (const { schema } of bodies.flatMap((body) => Object.values(body?.content ?? {}))) delete schema.default;
  return spec;
}

function complain(error) {
  document.getElementById("main").textContent = `The document cannot be read: ${error.message}`;
}
