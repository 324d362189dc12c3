// node-influx: databases, points, queries, schema.
const assert = require("node:assert");
const { FieldType, InfluxDB } = require("influx");

async function main(port) {
  const influx = new InfluxDB({
    host: "127.0.0.1",
    port,
    database: "js1",
    schema: [{ measurement: "load", fields: { value: FieldType.FLOAT, n: FieldType.INTEGER, s: FieldType.STRING, b: FieldType.BOOLEAN }, tags: ["host"] }],
  });
  const hosts = await influx.ping(5000);
  assert.ok(hosts[0].online);
  await influx.createDatabase("js1");
  assert.ok((await influx.getDatabaseNames()).includes("js1"));
  const points = [];
  for (let i = 0; i < 10; i++) {
    points.push({
      measurement: "load",
      tags: { host: `h ${i % 2}` },
      fields: { value: i + 0.5, n: i, s: `a "b" ${i}`, b: i % 2 === 0 },
      timestamp: new Date(1700000000000 + i * 1000),
    });
  }
  await influx.writePoints(points);
  await influx.writeMeasurement("load", [{ tags: { host: "x" }, fields: { value: 1e21, n: 1 } }], { precision: "s" });
  const rows = await influx.query("select * from load where host =~ /^h/ order by time desc limit 3");
  assert.strictEqual(rows.length, 3);
  assert.strictEqual(rows[0].s, 'a "b" 9');
  assert.strictEqual(rows[0].value, 9.5);
  assert.strictEqual(rows[0].b, false);
  assert.strictEqual(rows[0].time.getTime(), 1700000009000);
  const groups = (await influx.query("select mean(value) from load where host =~ /^h/ group by host")).groups();
  assert.deepStrictEqual(groups.map((g) => [g.tags.host, g.rows[0].mean]), [["h 0", 4.5], ["h 1", 5.5]]);
  const two = await influx.query(["select count(value) from load", "select last(n) from load where host = 'h 1'"]);
  assert.strictEqual(two[0][0].count, 11);
  assert.strictEqual(two[1][0].last, 9);
  const placed = await influx.query("select * from load where host = $host", { placeholders: { host: "h 0" } });
  assert.strictEqual(placed.length, 5);
  assert.deepStrictEqual(await influx.getMeasurements(), ["load"]);
  assert.strictEqual((await influx.getSeries()).length, 3);
  await influx.createRetentionPolicy("week", { duration: "7d", replication: 1, database: "js1" });
  await influx.alterRetentionPolicy("week", { duration: "14d", replication: 1, database: "js1" });
  const policies = await influx.showRetentionPolicies("js1");
  assert.strictEqual(policies.find((p) => p.name === "week").duration, "336h0m0s");
  await influx.dropRetentionPolicy("week", "js1");
  await influx.createUser("jsuser", "pass", false);
  await influx.grantPrivilege("jsuser", "READ", "js1");
  assert.ok((await influx.getUsers()).some((u) => u.user === "jsuser" && !u.admin));
  await influx.dropUser("jsuser");
  await assert.rejects(influx.query("selec"), /error parsing query/);
  await influx.dropSeries({ measurement: (m) => m.name("load"), where: (e) => e.tag("host").equals.value("x") });
  assert.strictEqual((await influx.getSeries()).length, 2);
  await influx.dropMeasurement("load");
  await influx.dropDatabase("js1");
}

main(Number(process.argv[2])).catch((problem) => {
  console.error(problem);
  process.exit(1);
});
