// Calls with the Go client that openapi-generator has made from the document; see ../generate.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"windsock"
)

var results = map[string]interface{}{}

// step notes what a step has to say.
func step(name string, check func() (bool, error)) {
	good, err := check()
	switch {
	case err != nil:
		results[name] = fmt.Sprintf("%T: %v", err, err)
	case !good:
		results[name] = "unexpected answer"
	default:
		results[name] = nil
	}
}

func main() {
	configuration := windsock.NewConfiguration()
	configuration.Servers = windsock.ServerConfigurations{{URL: os.Getenv("WINDSOCK_URL")}}
	client := windsock.NewAPIClient(configuration)
	auth := windsock.BasicAuth{UserName: os.Getenv("WINDSOCK_USER"), Password: os.Getenv("WINDSOCK_PASSWORD")}
	ctx := context.WithValue(context.Background(), windsock.ContextBasicAuth, auth)
	dag, run, name := os.Getenv("WINDSOCK_DAG"), os.Getenv("WINDSOCK_RUN"), "made by Go"

	step("list DAGs with schedules of several kinds", func() (bool, error) {
		found, _, err := client.DAGAPI.GetDags(ctx).Limit(100).Execute()
		if err != nil {
			return false, err
		}
		crons, spans := 0, 0
		for _, one := range found.GetDags() {
			if schedule := one.ScheduleInterval.Get(); schedule != nil && schedule.CronExpression != nil {
				crons++
			} else if schedule != nil && schedule.TimeDelta != nil {
				spans++
			}
		}
		tagged, _, err := client.DAGAPI.GetDags(ctx).Tags([]string{"nightly"}).Execute()
		return crons > 0 && spans > 0 && err == nil && tagged.GetTotalEntries() < found.GetTotalEntries(), err
	})
	step("read the details and the tasks of a DAG", func() (bool, error) {
		found, _, err := client.DAGAPI.GetTasks(ctx, dag).Execute()
		if err != nil {
			return false, err
		}
		details, _, err := client.DAGAPI.GetDagDetails(ctx, dag).Execute()
		return err == nil && details.EndDate.Get() == nil && found.Tasks[0].RetryDelay.Get().Seconds == 300, err
	})
	step("read a run", func() (bool, error) {
		found, _, err := client.DAGRunAPI.GetDagRun(ctx, dag, run).Execute()
		return err == nil && found.GetState() == windsock.RUN_SUCCESS && !found.GetLogicalDate().IsZero(), err
	})
	step("list task instances by state", func() (bool, error) {
		found, _, err := client.TaskInstanceAPI.GetTaskInstances(ctx, dag, run).State([]string{"success"}).Execute()
		return err == nil && len(found.TaskInstances) > 0 && found.TaskInstances[0].GetState() == windsock.TASK_SUCCESS, err
	})
	step("create a pool", func() (bool, error) {
		made, _, err := client.PoolAPI.PostPool(ctx).PostPoolRequest(*windsock.NewPostPoolRequest(name, 2)).Execute()
		return err == nil && made.GetOpenSlots() == 2, err
	})
	step("change a pool with update_mask", func() (bool, error) {
		body := windsock.NewPatchPoolRequest()
		body.SetSlots(3)
		body.SetDescription("left alone")
		changed, _, err := client.PoolAPI.PatchPool(ctx, name).PatchPoolRequest(*body).UpdateMask([]string{"slots"}).Execute()
		return err == nil && changed.GetSlots() == 3 && changed.GetDescription() == "", err
	})
	step("delete a pool", func() (bool, error) {
		answer, err := client.PoolAPI.DeletePool(ctx, name).Execute()
		return err == nil && answer.StatusCode == 204, err
	})
	step("trigger a run", func() (bool, error) {
		body := windsock.NewPostDagRunRequest()
		body.SetLogicalDate(time.Date(2026, 2, 14, 5, 0, 0, 0, time.UTC))
		body.SetConf(map[string]interface{}{"by": "Go"})
		made, _, err := client.DAGRunAPI.PostDagRun(ctx, dag).PostDagRunRequest(*body).Execute()
		return err == nil && made.GetState() == windsock.RUN_QUEUED && made.GetConf()["by"] == "Go", err
	})
	step("list runs by a form", func() (bool, error) {
		form := windsock.NewListDagRunsForm()
		form.SetDagIds([]string{dag})
		form.SetStates([]string{"success"})
		form.SetPageLimit(5)
		form.SetOrderBy("-start_date")
		found, _, err := client.DAGRunAPI.GetDagRunsBatch(ctx).ListDagRunsForm(*form).Execute()
		return err == nil && len(found.GetDagRuns()) == 5, err
	})
	step("what is not there is a typed error", func() (bool, error) {
		_, _, err := client.PoolAPI.GetPool(ctx, "nowhere").Execute()
		var failure *windsock.GenericOpenAPIError
		if !errors.As(err, &failure) {
			return false, err
		}
		problem, typed := failure.Model().(windsock.Error)
		return typed && strings.Contains(problem.Detail, "nowhere"), nil
	})
	json.NewEncoder(os.Stdout).Encode(results)
}
