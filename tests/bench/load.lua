-- SPDX-License-Identifier: Apache-2.0
-- Copyright The Capstan Authors
--
-- wrk's requests: wrk -s load.lua URL -- WORKLOAD EXPERIMENT RUN_IDS_FILE [AUTHORIZATION]

local api = "/api/2.0/mlflow/"
local headers = { ["Content-Type"] = "application/json" }
local threads = 0
local runs = {}
local step = 0
local make

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

local function any_run()
	return runs[math.random(#runs)]
end

local function log_metric()
	step = step + 1
	return "POST", "runs/log-metric", string.format(
		'{"run_id":"%s","key":"loss","value":%.6f,"timestamp":1700000000000,"step":%d}', any_run(),
		math.random(), step)
end

local function log_batch(count)
	return function()
		local metrics = {}
		for i = 1, count do
			step = step + 1
			metrics[i] = string.format('{"key":"batch%d","value":%.6f,"timestamp":1700000000000,"step":%d}', i % 10,
				math.random(), step)
		end
		return "POST", "runs/log-batch", string.format('{"run_id":"%s","metrics":[%s]}', any_run(),
			table.concat(metrics, ","))
	end
end

local function search(more)
	return function(experiment)
		return "POST", "runs/search", string.format('{"experiment_ids":["%s"],"max_results":100%s}', experiment, more)
	end
end

-- one of the 20,000 of seed.py
local function any_model()
	return string.format("model-%05d", math.random(0, 19999))
end

local workloads = {
	["log-metric"] = log_metric,
	["log-batch-10"] = log_batch(10),
	["log-batch-100"] = log_batch(100),
	["log-batch-1000"] = log_batch(1000),
	["create-run"] = function(experiment)
		return "POST", "runs/create", string.format('{"experiment_id":"%s","start_time":1700000000000}', experiment)
	end,
	["get-run"] = function()
		return "GET", "runs/get?run_id=" .. any_run(), nil
	end,
	["search-rows"] = search(""),
	["search-filter"] = search(',"filter":"metrics.m1 > 0.5 and params.p1 = \'3\' and tags.t1 = \'1\'",' ..
		'"order_by":["metrics.m0 DESC"]'),
	["model-search"] = function()
		return "GET", string.format("registered-models/search?max_results=100&filter=name%%20LIKE%%20%%27model-%03d%%25%%27",
			math.random(0, 199)), nil
	end,
	["model-search-tag"] = function()
		return "GET", string.format("registered-models/search?max_results=100&order_by=timestamp%%20DESC" ..
			"&filter=tags.team%%20%%3D%%20%%27team%%20%d%%27", math.random(0, 39)), nil
	end,
	["version-search"] = function()
		return "GET", string.format("model-versions/search?max_results=100&filter=name%%3D%%27%s%%27", any_model()), nil
	end,
	["version-create"] = function()
		return "POST", "model-versions/create", string.format('{"name":"%s","source":"s3://bucket/new"}', any_model())
	end,
	["alias-set"] = function()
		return "POST", "registered-models/alias", string.format('{"name":"%s","alias":"champion","version":"%d"}',
			any_model(), math.random(1, 2))
	end,
	["health"] = function()
		return "GET", nil, nil
	end,
}

function init(args)
	math.randomseed(os.time() * 64 + number)
	step = math.random(1, 2000000000)
	make = workloads[args[1]]
	experiment = args[2]
	headers["Authorization"] = args[4]
	for line in io.lines(args[3]) do
		runs[#runs + 1] = line
	end
end

function request()
	local method, path, body = make(experiment)
	return wrk.format(method, path and api .. path or "/health", headers, body)
end

function done(summary, latency, requests)
	local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write +
		summary.errors.timeout
	io.write(string.format("RESULT %d %d %d %.3f %.3f\n", summary.requests, bad, summary.duration,
		latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
