#!/usr/bin/env node
// Calls a Thrift door the way Node clients do: every transport and protocol on
// one connection each. Prints a line per combination; exits 1 if one failed.
//
// usage: calls.js ADDRESS:PORT GENERATED [OPTIONS-AS-JSON]
// options: host, key, metrics (name -> [[time, value or null], ...]),
//          setHosts ("ok" or a part of the failure), only,
//          usage ([[CPU seconds, uptime, instances, is staff, user], ...])
"use strict";

const assert = require("assert");
const path = require("path");
const thrift = require("thrift");

const [door, generated, given] = process.argv.slice(2);
const options = Object.assign(
  { host: "vm-1", key: "*.*", metrics: null, setHosts: "ok", only: "", usage: [] },
  given ? JSON.parse(given) : {},
);
const [address, port] = [door.slice(0, door.lastIndexOf(":")), Number(door.slice(door.lastIndexOf(":") + 1))];
const Hosts = require(path.join(path.resolve(generated), "Hosts.js"));
const Cloud = require(path.join(path.resolve(generated), "Cloud.js"));
const types = require(path.join(path.resolve(generated), "hosts_types.js"));

const HOSTS = [
  { id: "client-1", display_name: "first machine", address: "127.0.0.11" },
  { id: "client-2", display_name: "Größe 東京 🎈", address: "127.0.0.12" },
];

const COMBINATIONS = {
  default: {},
  "buffered binary": { transport: thrift.TBufferedTransport, protocol: thrift.TBinaryProtocol },
  "framed binary": { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol },
  "buffered compact": { transport: thrift.TBufferedTransport, protocol: thrift.TCompactProtocol },
  "framed compact": { transport: thrift.TFramedTransport, protocol: thrift.TCompactProtocol },
  multiplexed: { multiplexed: true },
};

function call(client, method, ...args) {
  return new Promise((resolve, reject) => {
    client[method](...args, (fault, result) => (fault ? reject(fault) : resolve(result)));
  });
}

// A call of a method that no service has, beside those of the generated client.
function launch(client) {
  return new Promise((resolve, reject) => {
    const sequence = client.new_seqid();
    client._reqs[sequence] = (fault) => (fault ? reject(fault) : resolve());
    client.recv_launch = (input, kind, rseqid) => {
      const answered = client._reqs[rseqid];
      delete client._reqs[rseqid];
      assert.strictEqual(kind, thrift.Thrift.MessageType.EXCEPTION);
      const fault = new thrift.Thrift.TApplicationException();
      fault.read(input);
      input.readMessageEnd();
      answered(fault);
    };
    const out = new client.pClass(client.output);
    out.writeMessageBegin("launch", thrift.Thrift.MessageType.CALL, sequence);
    out.writeStructBegin("launch_args");
    out.writeFieldStop();
    out.writeStructEnd();
    out.writeMessageEnd();
    client.output.flush();
  });
}

function checkMetrics(found) {
  if (!options.metrics) return;
  const shown = Object.fromEntries(
    Object.entries(found).map(([name, points]) => [
      name,
      points.map((p) => [Number(p.time), p.value === undefined ? null : p.value]),
    ]),
  );
  assert.deepStrictEqual(shown, options.metrics);
}

async function checkFailure(expected, made) {
  if (expected === "ok") return void (await made);
  await assert.rejects(made, (fault) => String(fault.message).includes(expected));
}

async function checkUsage(client) {
  const shown = (users) =>
    users.map((u) => [u.cpu_time_seconds, u.total_uptime_seconds, u.instance_count, u.is_staff, u.username]);
  const everything = [0, 2 ** 31 - 1];
  assert.deepStrictEqual(shown(await call(client, "get_leaderboard", ...everything)), options.usage);
  for (const user of options.usage) {
    assert.deepStrictEqual(shown(await call(client, "get_user_stats", ...everything, user[4])), [user]);
  }
  assert.deepStrictEqual(await call(client, "get_user_stats", ...everything, "nobody"), []);
  await checkFailure("must begin before it ends", call(client, "get_leaderboard", 1, 0));
}

// A connection of its own: Node's client takes one service for each.
async function runCloud(combination) {
  const connection = thrift.createConnection(address, port, { ...combination, max_attempts: 1 });
  try {
    const lost = new Promise((_, reject) => {
      connection.on("error", reject);
      connection.on("close", () => reject(new Error("the door closed the connection")));
    });
    const client = combination.multiplexed
      ? new thrift.Multiplexer().createClient("Cloud", Cloud, connection)
      : thrift.createClient(Cloud, connection);
    lost.catch(() => {});
    await Promise.race([checkUsage(client), lost]);
  } finally {
    connection.end();
  }
}

async function run(combination) {
  const connection = thrift.createConnection(address, port, { ...combination, max_attempts: 1 });
  let lost;
  const gone = new Promise((_, reject) => (lost = reject));
  connection.on("error", lost);
  connection.on("close", () => lost(new Error("the door closed the connection")));
  try {
    const client = combination.multiplexed
      ? new thrift.Multiplexer().createClient("Hosts", Hosts, connection)
      : thrift.createClient(Hosts, connection);
    const calls = async () => {
      checkMetrics(await call(client, "get_metrics", options.host, options.key));
      checkMetrics(await call(client, "get_metrics", options.host, null));
      const hosts = HOSTS.map((host) => new types.Host(host));
      await checkFailure(options.setHosts, call(client, "set_hosts", hosts));
      const bad = [new types.Host({ id: "a}\n", display_name: "x", address: "$(id)" })];
      await checkFailure("2 faults in the list of hosts", call(client, "set_hosts", bad));
      await assert.rejects(
        launch(client),
        (fault) => fault.type === thrift.Thrift.TApplicationExceptionType.UNKNOWN_METHOD,
      );
      checkMetrics(await call(client, "get_metrics", options.host, options.key));
    };
    await Promise.race([calls(), gone]);
  } finally {
    gone.catch(() => {});
    connection.end();
  }
}

async function main() {
  let [passed, failed] = [0, 0];
  for (const [name, combination] of Object.entries(COMBINATIONS)) {
    if (!name.includes(options.only)) continue;
    try {
      await run(combination);
      await runCloud(combination);
      passed += 1;
      console.log(`ok      node ${name}`);
    } catch (fault) {
      failed += 1;
      console.log(`FAILED  node ${name}\n${fault.stack}`);
    }
  }
  console.log(`${passed} of ${passed + failed} combinations`);
  process.exitCode = passed && !failed ? 0 : 1;
}

main();
