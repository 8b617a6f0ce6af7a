// Calls with the Java client that openapi-generator has made from the document; see ../generate.py.
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.DagApi;
import org.openapitools.client.api.DagRunApi;
import org.openapitools.client.api.PoolApi;
import org.openapitools.client.api.TaskInstanceApi;
import org.openapitools.client.model.CronExpression;
import org.openapitools.client.model.DAG;
import org.openapitools.client.model.DagState;
import org.openapitools.client.model.Error;
import org.openapitools.client.model.ListDagRunsForm;
import org.openapitools.client.model.PatchPoolRequest;
import org.openapitools.client.model.Pool;
import org.openapitools.client.model.PostDagRunRequest;
import org.openapitools.client.model.PostPoolRequest;
import org.openapitools.client.model.TaskState;
import org.openapitools.client.model.TimeDelta;

public class Calls {
    static final Map<String, String> results = new LinkedHashMap<>();

    /** Note what a step has to say. */
    static void step(String name, Callable<Boolean> check) {
        try {
            results.put(name, check.call() ? "" : "unexpected answer");
        } catch (Exception error) {
            results.put(name, error.toString());
        }
    }

    static boolean isA(Class<?> kind, DAG dag) {
        return dag.getScheduleInterval() != null && kind.isInstance(dag.getScheduleInterval().getActualInstance());
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        String credentials = env.get("WINDSOCK_USER") + ":" + env.get("WINDSOCK_PASSWORD");
        String basic = "Basic " + Base64.getEncoder().encodeToString(credentials.getBytes());
        ApiClient client = new ApiClient();
        client.updateBaseUri(env.get("WINDSOCK_URL"));
        client.setRequestInterceptor(request -> request.header("Authorization", basic));
        DagApi dags = new DagApi(client);
        DagRunApi runs = new DagRunApi(client);
        PoolApi pools = new PoolApi(client);
        String dag = env.get("WINDSOCK_DAG"), run = env.get("WINDSOCK_RUN"), name = "made by Java";

        step("list DAGs with schedules of several kinds", () -> {
            var every = dags.getDags(100L, null, null, null, null, null, null, null, null, null, null);
            var found = dags.getDags(100L, null, null, null, null, List.of("nightly"), null, null, null, null, null);
            return every.getDags().stream().anyMatch(one -> isA(CronExpression.class, one))
                && every.getDags().stream().anyMatch(one -> isA(TimeDelta.class, one))
                && found.getTotalEntries() < every.getTotalEntries();
        });
        step("read the details and the tasks of a DAG", () ->
            dags.getTasks(dag, null, null, null).getTasks().get(0).getRetryDelay().getSeconds() == 300
                && dags.getDagDetails(dag, null, null).getEndDate() == null);
        step("read a run", () -> {
            var found = runs.getDagRun(dag, run, null);
            return found.getState() == DagState.RUN_SUCCESS && found.getLogicalDate() != null;
        });
        step("list task instances by state", () -> {
            var found = new TaskInstanceApi(client).getTaskInstancesBatch(
                new org.openapitools.client.model.ListTaskInstanceForm().dagIds(List.of(dag)).dagRunIds(List.of(run))
                    .state(List.of(TaskState.TASK_SUCCESS)), null).getTaskInstances();
            return !found.isEmpty() && found.get(0).getState() == TaskState.TASK_SUCCESS;
        });
        step("create a pool", () -> pools.postPool(new PostPoolRequest().name(name).slots(2)).getOpenSlots() == 2);
        step("change a pool with update_mask", () -> {
            PatchPoolRequest body = new PatchPoolRequest().slots(3).description("left alone");
            Pool changed = pools.patchPool(name, body, List.of("slots"), null);
            return changed.getSlots() == 3 && changed.getDescription() == null;
        });
        step("delete a pool", () -> pools.deletePoolWithHttpInfo(name, null).getStatusCode() == 204);
        step("trigger a run", () -> {
            var made = runs.postDagRun(dag, new PostDagRunRequest()
                .logicalDate(OffsetDateTime.of(2026, 2, 14, 5, 0, 0, 0, ZoneOffset.UTC)).conf(Map.of("by", "Java")), null);
            return made.getState() == DagState.RUN_QUEUED && made.getConf().equals(Map.of("by", "Java"));
        });
        step("list runs by a form", () -> runs.getDagRunsBatch(
            new ListDagRunsForm().dagIds(List.of(dag)).states(List.of("success")).pageLimit(5).orderBy("-start_date"),
            null).getDagRuns().size() == 5);
        step("what is not there is a typed error", () -> {
            try {
                return pools.getPool("nowhere", null, null) == null;
            } catch (ApiException failure) {
                Error problem = client.getObjectMapper().readValue(failure.getResponseBody(), Error.class);
                return failure.getCode() == 404 && problem.getDetail().contains("nowhere");
            }
        });
        System.out.println(client.getObjectMapper().writeValueAsString(results));
    }
}
