-- SPDX-License-Identifier: Apache-2.0
-- Copyright The Capstan Authors
--
-- wrk's requests: wrk -s load.lua URL -- WORKLOAD NAME=VALUE...; loads.py says which names there are

local api = "/api/2.0/mlflow/"
local headers = { ["Content-Type"] = "application/json" }
local threads = 0
local step = 0
local about, runs, bare = {}, {}, {}
local make

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

local function any(list)
	return list[math.random(#list)]
end

local function log_metric()
	step = step + 1
	return "POST", "runs/log-metric", string.format(
		'{"run_id":"%s","key":"loss","value":%.6f,"timestamp":1700000000000,"step":%d}', any(runs),
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
		return "POST", "runs/log-batch", string.format('{"run_id":"%s","metrics":[%s]}', any(runs),
			table.concat(metrics, ","))
	end
end

local function search(more)
	return function()
		return "POST", "runs/search", string.format('{"experiment_ids":["%s"],"max_results":100%s%s}', about.experiment,
			more, about.token and ',"page_token":"' .. about.token .. '"' or "")
	end
end

local function get_run()
	return "GET", "runs/get?run_id=" .. any(runs), nil
end

local function get_experiment()
	return "GET", "experiments/get?experiment_id=" .. about.experiment, nil
end

local function set_tag()
	return "POST", "runs/set-tag", string.format('{"run_id":"%s","key":"tag %d","value":"%d"}', any(bare),
		math.random(20), math.random(1000000))
end

local function any_model()
	return string.format("model-%05d", math.random(0, about.models - 1))
end

local workloads = {
	["log-metric"] = log_metric,
	["log-batch-10"] = log_batch(10),
	["log-batch-100"] = log_batch(100),
	["log-batch-1000"] = log_batch(1000),
	["log-param"] = function()
		local key = math.random(1000)		-- a parameter keeps its value, so this one is always the same
		return "POST", "runs/log-parameter", string.format('{"run_id":"%s","key":"param %d","value":"%d"}', any(bare),
			key, key)
	end,
	["set-tag"] = set_tag,
	["create-run"] = function()
		return "POST", "runs/create", string.format('{"experiment_id":"%s","start_time":1700000000000}', about.written)
	end,
	["get-run"] = get_run,
	["get-experiment"] = get_experiment,
	["search-rows"] = search(""),
	["search-filter"] = search(',"filter":"metrics.m1 > 0.5 and params.p1 = \'3\' and tags.t1 = \'1\'",' ..
		'"order_by":["metrics.m0 DESC"]'),
	["page"] = search(',"order_by":["metrics.m0 DESC"]'),
	["experiments-search"] = function()
		return "POST", "experiments/search", '{"max_results":100,"order_by":["name ASC"],"filter":' ..
			string.format('"name LIKE \'group %d/%%\'"}', math.random(0, 9))
	end,
	["history"] = function()
		return "GET", string.format("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=loss" ..
			"&max_results=320&run_ids=%s", about.history), nil
	end,
	["model-search"] = function()
		return "GET", string.format("registered-models/search?max_results=100&filter=name%%20LIKE%%20%%27model-%03d%%25%%27",
			math.random(0, about.models / 100 - 1)), nil
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
	["small-reads"] = function()
		return any({ get_run, get_experiment })()
	end,
	["small-writes"] = function()
		return any({ log_metric, set_tag })()
	end,
	["health"] = function()
		return "GET", "/health", nil
	end,
}

local function lines(path)
	local all = {}
	for line in path and io.lines(path) or function() end do
		all[#all + 1] = line
	end
	return all
end

function init(args)
	math.randomseed(os.time() * 64 + number)
	step = math.random(1, 2000000000)
	make = workloads[args[1]]
	for i = 2, #args do
		local name, value = args[i]:match("^(%w+)=(.*)$")
		about[name] = value
	end
	headers["Authorization"] = about.authorization
	runs, bare = lines(about.runs), lines(about.bare)
end

function request()
	local method, path, body = make()
	return wrk.format(method, path:sub(1, 1) == "/" and path or api .. path, headers, body)
end

function done(summary, latency, requests)
	local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write +
		summary.errors.timeout
	io.write(string.format("RESULT %d %d %d %.3f %.3f\n", summary.requests, bad, summary.duration,
		latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
