// The version and the health of this server, asked for again while somebody looks.
"use strict";
const NAMES = { metadatabase: "Database", scheduler: "Scheduler", triggerer: "Triggerer", dag_processor: "DAG processor" };
const api = new URL("api/v1/", location.href);

async function ask(what) {
  const response = await fetch(new URL(what, api));
  if (!response.ok) throw new Error(response.status);
  return response.json();
}

function pill(name, status) {
  const item = document.createElement("li");
  item.className = `pill ${status.replace(" ", "-")}`;
  item.textContent = `${name}: ${status}`;
  return item;
}

async function showHealth() {
  let pills;
  try {
    const health = await ask("health");
    pills = Object.keys(NAMES).map((name) => pill(NAMES[name], health[name]?.status ?? "not in use"));
  } catch {
    pills = [pill("Server", "no answer")];
  }
  const list = document.getElementById("health");
  const text = (items) => items.map((item) => item.textContent).join();
  if (text(pills) !== text([...list.children])) list.replaceChildren(...pills);  // else it would be read out again
}

async function showVersion() {
  try {
    const { version, git_version } = await ask("version");
    const own = git_version.replace("windsock ", "");
    document.getElementById("version").textContent = `Windsock ${own}, with the API of Airflow ${version}`;
  } catch {
    // the link to it stays
  }
}

function showCommand() {
  const command = `curl --user USER '${new URL("dags?limit=3", api)}'`;
  document.getElementById("curl").textContent = command;
  if (!navigator.clipboard) return;
  const copy = document.getElementById("copy");
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command);
    copy.textContent = "Copied";
  });
}

showCommand();
showVersion();
showHealth();
setInterval(() => document.hidden || showHealth(), 15000);
