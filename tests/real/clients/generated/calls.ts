// Calls with the TypeScript client that openapi-generator (typescript-fetch) has made; see ../generate.py.
import * as windsock from "./client/index.js";
import { env, report, step } from "./steps.js";

const configuration = new windsock.Configuration({
  basePath: env.WINDSOCK_URL,
  username: env.WINDSOCK_USER,
  password: env.WINDSOCK_PASSWORD,
});
const dags = new windsock.DAGApi(configuration);
const runs = new windsock.DAGRunApi(configuration);
const pools = new windsock.PoolApi(configuration);
const dagId = env.WINDSOCK_DAG;
const dagRunId = env.WINDSOCK_RUN;
const poolName = "made by typescript-fetch";

await step("list DAGs with schedules of several kinds", async () => {
  const every = await dags.getDags({ limit: 100 });
  const found = await dags.getDags({ tags: ["nightly"] });
  const kinds = new Set(every.dags?.map((dag) => dag.scheduleInterval?.type));
  return kinds.has("CronExpression") && kinds.has("TimeDelta") && found.totalEntries! < every.totalEntries!;
});
await step("read the details and the tasks of a DAG", async () => {
  const { tasks } = await dags.getTasks({ dagId });
  const details = await dags.getDagDetails({ dagId });
  return tasks![0].retryDelay?.seconds === 300 && details.endDate === null;
});
await step("read a run", async () => {
  const found = await runs.getDagRun({ dagId, dagRunId });
  return found.state === windsock.DagState.RUN_SUCCESS && found.logicalDate instanceof Date;
});
await step("list task instances by state", async () => {
  const found = await new windsock.TaskInstanceApi(configuration).getTaskInstances({ dagId, dagRunId, state: ["success"] });
  return found.taskInstances!.length > 0 && found.taskInstances![0].state === windsock.TaskState.TASK_SUCCESS;
});
await step("create a pool", async () => {
  const made = await pools.postPool({ postPoolRequest: { name: poolName, slots: 2 } });
  return made.openSlots === 2;
});
await step("change a pool with update_mask", async () => {
  const patchPoolRequest = { slots: 3, description: "left alone" };
  const changed = await pools.patchPool({ poolName, updateMask: ["slots"], patchPoolRequest });
  return changed.slots === 3 && !changed.description;
});
await step("delete a pool", async () => (await pools.deletePoolRaw({ poolName })).raw.status === 204);
await step("trigger a run", async () => {
  const postDagRunRequest = { logicalDate: new Date("2026-02-14T05:00:00Z"), conf: { by: "typescript-fetch" } };
  const made = await runs.postDagRun({ dagId, postDagRunRequest });
  return made.state === windsock.DagState.RUN_QUEUED;
});
await step("list runs by a form", async () => {
  const listDagRunsForm = { dagIds: [dagId], states: ["success"], pageLimit: 5, orderBy: "-start_date" };
  return (await runs.getDagRunsBatch({ listDagRunsForm })).dagRuns?.length === 5;
});
await step("what is not there is a typed error", async () => {
  try {
    await pools.getPool({ poolName: "nowhere" });
    return false;
  } catch (error) {
    if (!(error instanceof windsock.ResponseError)) throw error;
    const problem = windsock.ModelErrorFromJSON(await error.response.json());
    return problem.status === 404 && problem.detail.includes("nowhere");
  }
});
report();
