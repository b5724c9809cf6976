// SPDX-License-Identifier: Apache-2.0
// Copyright The Capstan Authors

// What the npm package `mlflow` offers, in full: node round.js URL NAME. Its Experiments.list() and setExperimentTag() ask
// for paths that MLflow 2 and later do not have.
const assert = require('assert')
const MLflow = require('mlflow')
const { ViewType } = require('mlflow/enum')

console.log = () => {} // the package prints every body
const [, , endpoint, name] = process.argv
const { Experiments, Runs, Metrics, Artifacts } = new MLflow({ endpoint })

async function refused(promise, code) {
  const error = await promise.then(() => null, (e) => e)
  assert(error && error.message.includes(code), `not refused with ${code}: ${error}`)
}

async function main() {
  const { experiment_id } = await Experiments.create({ name })
  await refused(Experiments.create({ name }), 'RESOURCE_ALREADY_EXISTS')
  await Experiments.update({ experiment_id, new_name: name + '-renamed' })
  assert.equal((await Experiments.get({ experiment_id })).experiment.name, name + '-renamed')
  await Experiments.delete({ experiment_id })
  assert.equal((await Experiments.get({ experiment_id })).experiment.lifecycle_stage, 'deleted')
  await Experiments.restore({ experiment_id })

  const now = Date.now()
  const { run } = await Runs.create({ experiment_id, user_id: 'node', start_time: now, tags: [{ key: 'a', value: 'ü' }] })
  const { run_id } = run.info
  assert.equal(run.info.start_time, now)
  await Runs.logParameter({ run_id, key: 'depth', value: '3' })
  await Runs.logMetric({ run_id, key: 'loss', value: 0.5, timestamp: now, step: 0 })
  const metrics = [1, 2, 3].map((step) => ({ key: 'loss', value: step / 10, timestamp: now + step, step }))
  await Runs.logBatch({ run_id, metrics, params: [{ key: 'kind', value: 'tree' }], tags: [{ key: 'b', value: '2' }] })
  await Runs.setTag({ run_id, key: 'c', value: '3' })
  await Runs.deleteTag({ run_id, key: 'c' })
  const { data } = (await Runs.get({ run_id })).run
  assert.deepEqual(data.metrics, [{ key: 'loss', value: 0.3, timestamp: now + 3, step: 3 }])
  assert.deepEqual(data.params.map((p) => p.key).sort(), ['depth', 'kind'])
  assert.equal(data.tags.find((t) => t.key === 'a').value, 'ü')
  const history = await Metrics.getHistory({ run_id, metric_key: 'loss' })
  assert.deepEqual(history.metrics.map((m) => m.value), [0.5, 0.1, 0.2, 0.3])
  const found = await Runs.search({
    experiment_ids: [experiment_id],
    filter: "metrics.loss < 1 and params.kind = 'tree'",
    run_view_type: ViewType.ACTIVE_ONLY,
    max_results: 5,
    order_by: ['metrics.loss DESC'],
  })
  assert.deepEqual(found.runs.map((r) => r.info.run_id), [run_id])
  assert.deepEqual(await Artifacts.list({ run_id, path: '' }), { root_uri: run.info.artifact_uri })
  const { run_info } = await Runs.update({ run_id, status: 'FINISHED', end_time: now + 5 })
  assert.equal(run_info.status, 'FINISHED')
  await Runs.delete({ run_id })
  await refused(Runs.logMetric({ run_id, key: 'loss', value: 1, timestamp: now }), 'INVALID_PARAMETER_VALUE')
  await Runs.restore({ run_id })
  assert.equal((await Runs.get({ run_id })).run.info.lifecycle_stage, 'active')
  await refused(Runs.get({ run_id: 'nowhere' }), 'RESOURCE_DOES_NOT_EXIST')
  process.stdout.write('round complete\n')
}

main().catch((e) => {
  console.error(e)
  process.exit(1)
})
