/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.mlflow.api.proto.ModelRegistry.ModelVersion;
import org.mlflow.api.proto.Service.*;
import org.mlflow.tracking.*;

/** A full round of MLflow's Java client: java Round URL NAME. */
public class Round {
  private static void check(boolean holds, Object about) {
    if (!holds) throw new AssertionError(String.valueOf(about));
  }

  private static void refused(String code, Runnable call) {
    try {
      call.run();
    } catch (MlflowHttpException e) {
      check(e.getBodyMessage().contains(code), e.getBodyMessage());
      return;
    }
    throw new AssertionError("not refused with " + code);
  }

  private static String experiments(MlflowClient client, String name) {
    String id = client.createExperiment(name);
    refused("RESOURCE_ALREADY_EXISTS", () -> client.createExperiment(name));
    client.setExperimentTag(id, "team", "ä");
    client.renameExperiment(id, name + "-renamed");
    check(!client.getExperimentByName(name).isPresent(), name);
    Optional<Experiment> found = client.getExperimentByName(name + "-renamed");
    check(found.get().getExperimentId().equals(id), found);
    check(found.get().getTags(0).getValue().equals("ä"), found);
    client.deleteExperiment(id);
    check(client.getExperiment(id).getLifecycleStage().equals("deleted"), id);
    client.restoreExperiment(id);
    ExperimentsPage page =
        client.searchExperiments("tags.team = 'ä'", ViewType.ACTIVE_ONLY, 10, Arrays.asList("name DESC"));
    check(page.getItems().stream().anyMatch(e -> e.getExperimentId().equals(id)), page.getItems());
    return id;
  }

  private static String runs(MlflowClient client, String experiment) {
    List<String> ids = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      RunInfo made =
          client.createRun(
              CreateRun.newBuilder().setExperimentId(experiment).setRunName("run " + i).setStartTime(1000 + i).build());
      String id = made.getRunId();
      client.logParam(id, "depth", "" + i);
      client.logMetric(id, "loss", 0.5, 1700000000000L, 0);
      List<Metric> metrics = new ArrayList<>();
      for (int s = 1; s < 30; s++)
        metrics.add(
            Metric.newBuilder().setKey("loss").setValue(i + s / 100.0).setTimestamp(1700000000000L + s).setStep(s).build());
      client.logBatch(
          id,
          metrics,
          Arrays.asList(Param.newBuilder().setKey("kind").setValue(i > 0 ? "tree" : "linear").build()),
          Arrays.asList(RunTag.newBuilder().setKey("a").setValue("1").build()));
      client.setTag(id, "b", "2");
      client.deleteTag(id, "b");
      ids.add(id);
    }
    Run run = client.getRun(ids.get(2));
    check(run.getInfo().getRunName().equals("run 2"), run);
    check(run.getData().getMetrics(0).getValue() == 2.29, run);
    check(run.getData().getTagsList().stream().noneMatch(t -> t.getKey().equals("b")), run);
    check(client.getMetricHistory(ids.get(0), "loss").size() == 30, "history");
    refused("INVALID_PARAMETER_VALUE", () -> client.logParam(ids.get(0), "depth", "9"));
    List<String> where = Collections.singletonList(experiment);
    check(client.searchRuns(where, "params.kind = 'tree' and metrics.loss > 2").size() == 1, "search");
    RunsPage page =
        client.searchRuns(where, "", ViewType.ACTIVE_ONLY, 2, Arrays.asList("metrics.loss DESC"));
    check(page.getItems().size() == 2 && page.hasNextPage(), page.getItems());
    check(((RunsPage) page.getNextPage()).getItems().get(0).getInfo().getRunId().equals(ids.get(0)), "next page");
    client.setTerminated(ids.get(0), RunStatus.FAILED);
    check(client.getRun(ids.get(0)).getInfo().getStatus() == RunStatus.FAILED, "status");
    client.deleteRun(ids.get(0));
    check(client.listRunInfos(experiment).size() == 2, "listed");
    check(client.searchRuns(where, "", ViewType.DELETED_ONLY).size() == 1, "deleted");
    client.restoreRun(ids.get(0));
    check(client.listRunInfos(experiment).size() == 3, "restored");
    return ids.get(1);
  }

  private static void artifacts(MlflowClient client, String run) throws Exception {
    Path dir = Files.createTempDirectory("round");
    Path file = dir.resolve("a.txt");
    Files.write(file, "content".getBytes());
    client.logArtifact(run, file.toFile(), "in");
    List<FileInfo> listed = client.listArtifacts(run, "in");
    check(listed.size() == 1 && listed.get(0).getPath().equals("in/a.txt"), listed);
    Path back = client.downloadArtifacts(run, "in").toPath().resolve("a.txt");
    check(new String(Files.readAllBytes(back)).equals("content"), back);
  }

  private static void fluent(MlflowClient client, String experiment) {
    MlflowContext context = new MlflowContext(client).setExperimentId(experiment);
    ActiveRun run = context.startRun("fluent");
    run.logParams(Map.of("p", "1", "q", "2"));
    run.logMetrics(Map.of("m", 1.5, "n", 2.5), 3);
    run.setTags(Map.of("t", "u"));
    run.endRun();
    Run got = client.getRun(run.getId());
    check(got.getData().getParamsCount() == 2 && got.getData().getMetricsCount() == 2, got);
    check(got.getInfo().getStatus() == RunStatus.FINISHED && got.getInfo().getEndTime() > 0, got);
  }

  private static void registry(MlflowClient client, String run, String name) {
    String source = client.getRun(run).getInfo().getArtifactUri() + "/in";
    client.sendPost("registered-models/create", "{\"name\": \"" + name + "\"}");
    for (int i = 0; i < 2; i++)
      client.sendPost(
          "model-versions/create",
          "{\"name\": \"" + name + "\", \"source\": \"" + source + "\", \"run_id\": \"" + run + "\"}");
    client.sendPost(
        "model-versions/transition-stage",
        "{\"name\": \"" + name + "\", \"version\": \"1\", \"stage\": \"Production\", \"archive_existing_versions\": true}");
    check(client.getRegisteredModel(name).getLatestVersionsCount() == 2, name);
    ModelVersion version = client.getModelVersion(name, "1");
    check(version.getCurrentStage().equals("Production") && version.getRunId().equals(run), version);
    check(client.getModelVersionDownloadUri(name, "1").equals(source), source);
    List<ModelVersion> latest = client.getLatestVersions(name, Arrays.asList("Production"));
    check(latest.size() == 1 && latest.get(0).getVersion().equals("1"), latest);
    check(client.getLatestVersions(name).size() == 2, name);
    ModelVersionsPage page =
        client.searchModelVersions("name = '" + name + "'", 1, Arrays.asList("version_number DESC"));
    check(page.getItems().get(0).getVersion().equals("2") && page.hasNextPage(), page.getItems());
    check(client.downloadModelVersion(name, "1").toPath().resolve("a.txt").toFile().exists(), "downloaded");
    client.sendPatch("registered-models/update", "{\"name\": \"" + name + "\", \"description\": \"d\"}");
    check(client.getRegisteredModel(name).getDescription().equals("d"), name);
    refused("RESOURCE_DOES_NOT_EXIST", () -> client.getModelVersion(name, "9"));
  }

  public static void main(String[] arguments) throws Exception {
    String name = arguments[1];
    try (MlflowClient client = new MlflowClient(arguments[0])) {
      String experiment = experiments(client, name);
      String run = runs(client, experiment);
      fluent(client, experiment);
      artifacts(client, run);
      registry(client, run, name);
      client.deleteExperiment(experiment);
    }
    System.out.println("round complete");
  }
}
