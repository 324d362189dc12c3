// @influxdata/influxdb-client: writes, large enough to be gzipped, and what it says of a refusal.
const assert = require("node:assert");
const { HttpError, InfluxDB, Point } = require("@influxdata/influxdb-client");

async function count(port, measurement) {
  const q = encodeURIComponent(`SELECT count(v) FROM ${measurement}`);
  const answer = await (await fetch(`http://127.0.0.1:${port}/query?db=js2&q=${q}`)).json();
  return answer.results[0].series[0].values[0][1];
}

async function main(port) {
  const influx = new InfluxDB({ url: `http://127.0.0.1:${port}`, token: "any" });
  const api = influx.getWriteApi("home", "js2", "ns");
  api.useDefaultTags({ region: "west" });
  for (let i = 0; i < 2500; i++) {
    api.writePoint(new Point("m").tag("host", `h${i % 9}`).floatField("v", i / 4).stringField("s", 'a "b"\nc').timestamp(i));
  }
  await api.close();
  assert.strictEqual(await count(port, "m"), 2500);
  const short = influx.getWriteApi("home", "js2", "ms", { maxRetries: 0 });
  short.writeRecord("small v=1 1700000000000");
  await short.close();
  assert.strictEqual(await count(port, "small"), 1);
  const failures = [];
  const bad = influx.getWriteApi("home", "js2", "ns", { maxRetries: 0, writeFailed: (problem) => { failures.push(problem); } });
  bad.writeRecord("small v=");
  await bad.close().catch(() => {});
  assert.ok(failures[0] instanceof HttpError);
  assert.strictEqual(failures[0].statusCode, 400);
  assert.match(failures[0].message, /unable to parse/);
}

main(Number(process.argv[2])).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
