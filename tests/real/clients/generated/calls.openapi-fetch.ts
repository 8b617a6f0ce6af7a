// Calls with openapi-fetch, whose types openapi-typescript has made from the document; see ../generate.py.
import createClient from "openapi-fetch";
import { env, report, step } from "./steps.js";
import type { components, paths } from "./v1.js";

type Problem = components["schemas"]["Error"];

const basic = Buffer.from(`${env.WINDSOCK_USER}:${env.WINDSOCK_PASSWORD}`).toString("base64");
const client = createClient<paths>({ baseUrl: env.WINDSOCK_URL, headers: { Authorization: `Basic ${basic}` } });
const path = { dag_id: env.WINDSOCK_DAG, dag_run_id: env.WINDSOCK_RUN };
const pool = { pool_name: "made by openapi-fetch" };

await step("list DAGs with schedules of several kinds", async () => {
  const every = await client.GET("/dags", { params: { query: { limit: 100 } } });
  const found = await client.GET("/dags", { params: { query: { tags: ["nightly"] } } });
  const kinds = new Set(every.data?.dags?.map((dag) => dag.schedule_interval?.__type));
  return kinds.has("CronExpression") && kinds.has("TimeDelta") && found.data!.total_entries! < every.data!.total_entries!;
});
await step("read the details and the tasks of a DAG", async () => {
  const { data: found } = await client.GET("/dags/{dag_id}/tasks", { params: { path } });
  const { data: details } = await client.GET("/dags/{dag_id}/details", { params: { path } });
  return found?.tasks?.[0].retry_delay?.seconds === 300 && details?.end_date === null;
});
await step("read a run", async () => {
  const { data } = await client.GET("/dags/{dag_id}/dagRuns/{dag_run_id}", { params: { path } });
  return data?.state === "success" && data.logical_date !== null;
});
await step("list task instances by state", async () => {
  const params = { path, query: { state: ["success" as const] } };
  const { data } = await client.GET("/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances", { params });
  return data?.task_instances?.[0].state === "success";
});
await step("create a pool", async () => {
  const { data } = await client.POST("/pools", { body: { name: pool.pool_name, slots: 2 } });
  return data?.open_slots === 2;
});
await step("change a pool with update_mask", async () => {
  const params = { path: pool, query: { update_mask: ["slots"] } };
  const { data } = await client.PATCH("/pools/{pool_name}", { params, body: { slots: 3, description: "left alone" } });
  return data?.slots === 3 && !data.description;
});
await step("delete a pool", async () => {
  return (await client.DELETE("/pools/{pool_name}", { params: { path: pool } })).response.status === 204;
});
await step("trigger a run", async () => {
  const body = { logical_date: "2026-02-14T05:00:00Z", conf: { by: "openapi-fetch" } };
  const { data } = await client.POST("/dags/{dag_id}/dagRuns", { params: { path }, body });
  return data?.state === "queued";
});
await step("list runs by a form", async () => {
  const body = { dag_ids: [path.dag_id], states: ["success"], page_limit: 5, order_by: "-start_date" };
  return (await client.POST("/dags/~/dagRuns/list", { body })).data?.dag_runs?.length === 5;
});
await step("what is not there is a typed error", async () => {
  const { error, response } = await client.GET("/pools/{pool_name}", { params: { path: { pool_name: "nowhere" } } });
  const problem: Problem | undefined = error;
  return response.status === 404 && problem?.status === 404 && problem.detail.includes("nowhere");
});
report();
