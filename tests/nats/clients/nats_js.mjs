// nats.js, unmodified, against a broker. Run by ../run.py; alone, where its packages are in
// NODE_PATH or in ./node_modules:
//
//     SERVER=nats-server NATS_SERVER=... node --test-reporter=tap nats_js.mjs
//
// Each test is a claim; tests of the same name are in nats_py.py and in ../async_nats.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { test } from "node:test";

import { CERTIFICATES, start, within } from "./server.mjs";

// `import` does not search NODE_PATH, where run.py installs the packages.
const require = createRequire(import.meta.url);
const { connect } = require("@nats-io/transport-node");
const core = require("@nats-io/nats-core");

const SEED = "SUAN6NLTGSMFYTYS62FSOKZVWZCET63XCWH27DQWU25EKGOJUTWIB27F74";
const OTHER_SEED = "SUAPOOTJWC5T5DCRGTO7Q6SWQK47WQOEM57BYHWW4PEWGJYFFD2JZLDCG4";
const PATIENCE = 30_000;
// A 503 comes at once; a request that waits in vain fails after this time.
const FAST = 5_000;

const bytes = (text) => new TextEncoder().encode(text);
const text = (message) => new TextDecoder().decode(message.data);
const upTo = (count) => Array.from({ length: count }, (_, number) => number);

/** What a test has: a broker, and clients that are closed after it. */
class World {
  clients = [];

  constructor(server) {
    this.server = server;
  }

  async client(options = {}) {
    const client = await within(
      connect({ servers: this.server.url, reconnect: false, timeout: PATIENCE, ...options }),
    );
    this.clients.push(client);
    return client;
  }

  async refused(options) {
    await assert.rejects(this.client(options), core.AuthorizationError);
  }
}

function claim(name, auth, body) {
  test(name, async () => {
    const server = await start({ auth });
    const world = new World(server);
    try {
      await body(world);
    } finally {
      await Promise.all(world.clients.map((client) => within(client.close())));
      await server.close();
    }
  });
}

/** A subscription that the broker has: the flush is answered after it. */
async function subscribed(client, subject, options) {
  const subscription = client.subscribe(subject, options);
  await within(client.flush());
  return subscription;
}

/** The next messages of a subscription, or of its iterator, of which it can have one only. */
async function take(messages, count) {
  const iterator = messages[Symbol.asyncIterator]();
  const taken = [];
  while (taken.length < count) {
    const { value, done } = await within(iterator.next(), `message ${taken.length} of ${count}`);
    assert.ok(!done, `the subscription ended after ${taken.length} messages`);
    taken.push(value);
  }
  return taken;
}

/** The next status of a kind. */
async function next(statuses, type) {
  for (;;) {
    const { value, done } = await within(statuses.next(), `status ${type}`);
    assert.ok(!done, `no status ${type} came`);
    if (value.type === type) return value;
  }
}

const watch = (client) => client.status()[Symbol.asyncIterator]();

/** A request fails at once, as nobody answers it. */
async function nobodyAnswers(client, subject) {
  for (const noMux of [false, true]) {
    await assert.rejects(client.request(subject, "", { timeout: FAST, noMux }), (error) => {
      assert.ok(error instanceof core.NoRespondersError || error.isNoResponders?.(), `${error}`);
      return true;
    });
  }
}

claim("connects and learns about the broker", "none", async (world) => {
  const client = await world.client({ name: "me" });
  assert.equal(client.info.max_payload, 1024 * 1024);
  assert.equal(client.info.headers, true);
  assert.equal(client.info.proto, 1);
  assert.ok(client.info.server_id);
  assert.match(client.info.version, /^\d+\.\d+\.\d+/);
  assert.ok((await within(client.rtt())) >= 0);
});

claim("a message arrives as published", "none", async (world) => {
  const [subscriber, publisher] = [await world.client(), await world.client()];
  const subscription = await subscribed(subscriber, "orders.eu");
  const payload = Buffer.concat([Buffer.from(upTo(256)), Buffer.from("\r\nPING\r\n")]);
  publisher.publish("orders.eu", payload, { reply: "answers.here" });
  const [message] = await take(subscription, 1);
  assert.equal(message.subject, "orders.eu");
  assert.equal(message.reply, "answers.here");
  assert.ok(payload.equals(message.data));
  assert.equal(message.headers, undefined);
});

claim("an empty payload arrives", "none", async (world) => {
  const client = await world.client();
  const subscription = await subscribed(client, "empty");
  const headers = core.headers();
  headers.set("Key", "value");
  client.publish("empty");
  client.publish("empty", "", { headers });
  const [without, withHeaders] = await take(subscription, 2);
  assert.equal(without.data.length, 0);
  assert.equal(withHeaders.data.length, 0);
  assert.equal(withHeaders.headers.get("Key"), "value");
});

claim("a star stands for one token", "none", async (world) => {
  const client = await world.client();
  const subscription = await subscribed(client, "a.*.c");
  for (const subject of ["a.c", "a.b.c.d", "a.b.b.c", "a.1.c", "b.1.c", "a.2.c"]) {
    client.publish(subject);
  }
  const got = await take(subscription, 2);
  assert.deepEqual(got.map((message) => message.subject), ["a.1.c", "a.2.c"]);
});

claim("a greater than stands for one token or more", "none", async (world) => {
  const client = await world.client();
  const subscription = await subscribed(client, "a.>");
  for (const subject of ["a", "b.a.c", "a.b", "ab.c", "a.b.c.d"]) client.publish(subject);
  const got = await take(subscription, 2);
  assert.deepEqual(got.map((message) => message.subject), ["a.b", "a.b.c.d"]);
});

claim("each message goes to one member of a queue group", "none", async (world) => {
  const total = 1000;
  const got = { first: [], second: [], beside: [] };
  let done;
  const complete = new Promise((resolve) => (done = resolve));
  for (const [name, queue] of [["first", "workers"], ["second", "workers"], ["beside"]]) {
    const callback = (error, message) => {
      got[name].push(error ?? Number(text(message)));
      const grouped = got.first.length + got.second.length;
      if (grouped >= total && got.beside.length >= total) done();
    };
    await subscribed(await world.client(), "jobs", { queue, callback });
  }
  const publisher = await world.client();
  for (const job of upTo(total)) publisher.publish("jobs", `${job}`);
  await within(complete);
  const grouped = [...got.first, ...got.second].sort((a, b) => a - b);
  assert.deepEqual(grouped, upTo(total));
  assert.deepEqual(got.beside, upTo(total));
  assert.ok(got.first.length > 0 && got.second.length > 0);
});

claim("no echo keeps own messages away", "none", async (world) => {
  const [quiet, other] = [await world.client({ noEcho: true }), await world.client()];
  const subscription = await subscribed(quiet, "echo");
  quiet.publish("echo", "own");
  await within(quiet.flush());
  other.publish("echo", "of another");
  const [message] = await take(subscription, 1);
  assert.equal(text(message), "of another");
});

claim("a flush returns when everything before was done", "none", async (world) => {
  const [subscriber, publisher] = [await world.client(), await world.client()];
  for (const turn of upTo(20)) {
    const subscription = subscriber.subscribe(`flushed.${turn}`);
    await within(subscriber.flush());
    publisher.publish(`flushed.${turn}`, `${turn}`);
    await within(publisher.flush());
    const [message] = await take(subscription, 1);
    assert.equal(text(message), `${turn}`);
  }
  await within(Promise.all(upTo(100).map(() => subscriber.flush())));
});

claim("a subscription ends after its maximum", "none", async (world) => {
  const client = await world.client();
  const limited = client.subscribe("limited", { max: 3 });
  const beside = await subscribed(client, "limited");
  for (const number of upTo(6)) client.publish("limited", `${number}`);
  await take(beside, 6);
  const got = [];
  for await (const message of limited) got.push(text(message));
  assert.deepEqual(got, ["0", "1", "2"]);
  // The broker has removed it as well: without the other subscription none is left.
  beside.unsubscribe();
  await nobodyAnswers(client, "limited");
});

claim("two publishers under load lose nothing and keep their order", "none", async (world) => {
  const each = 5000;
  for (const [pattern, subjects] of [["one", ["one", "one"]], ["two.*", ["two.0", "two.1"]]]) {
    const subscriber = await world.client();
    const got = [[], []];
    let done;
    const complete = new Promise((resolve) => (done = resolve));
    const callback = (_, message) => {
      const [number, count] = text(message).split(" ").map(Number);
      got[number].push(count);
      if (got[0].length + got[1].length >= 2 * each) done();
    };
    await subscribed(subscriber, pattern, { callback });
    const publish = async (number) => {
      const publisher = await world.client();
      for (const count of upTo(each)) {
        publisher.publish(subjects[number], `${number} ${count} ${"x".repeat(100)}`);
        // Lets the other publisher run.
        if (count % 100 === 0) await new Promise(setImmediate);
      }
      await within(publisher.flush());
    };
    await Promise.all([publish(0), publish(1)]);
    await within(complete, `${got[0].length + got[1].length} messages came, the others`);
    assert.deepEqual(got, [upTo(each), upTo(each)]);
  }
});

claim("a request gets its reply", "none", async (world) => {
  const [asker, answerer] = [await world.client(), await world.client()];
  await subscribed(answerer, "service", {
    callback: (_, message) => message.respond(`re: ${text(message)}`),
  });
  const ask = (number, options) => asker.request("service", `${number}`, { timeout: PATIENCE, ...options });
  const replies = await Promise.all(upTo(100).map((number) => ask(number)));
  assert.deepEqual(replies.map(text), upTo(100).map((number) => `re: ${number}`));
  assert.equal(text(await ask(7, { noMux: true })), "re: 7");
});

claim("a request without responders fails fast", "none", async (world) => {
  await nobodyAnswers(await world.client(), "nobody");
});

claim("headers arrive as published", "none", async (world) => {
  const client = await world.client();
  const subscription = await subscribed(client, "headers");
  const headers = core.headers();
  headers.append("Key", "value");
  headers.append("Key", "another value");
  headers.append("key", "Another case");
  headers.append("Empty", "");
  headers.append("Url", "http://[::1]:4222/?a=b");
  client.publish("headers", "payload", { headers, reply: "answers.here" });
  const [message] = await take(subscription, 1);
  assert.deepEqual([...message.headers], [...headers]);
  assert.deepEqual(message.headers.values("Key"), ["value", "another value"]);
  assert.equal(text(message), "payload");
  assert.equal(message.reply, "answers.here");
});

claim("a request carries headers both ways", "none", async (world) => {
  const [asker, answerer] = [await world.client(), await world.client()];
  const callback = (_, message) => {
    const headers = core.headers();
    headers.set("Answer", message.headers.get("Question"));
    message.respond("reply", { headers });
  };
  await subscribed(answerer, "service", { callback });
  const headers = core.headers();
  headers.set("Question", "6 * 7");
  const reply = await asker.request("service", "", { timeout: PATIENCE, headers });
  assert.equal(text(reply), "reply");
  assert.equal(reply.headers.get("Answer"), "6 * 7");
});

claim("a jetstream request fails fast", "none", async (world) => {
  await nobodyAnswers(await world.client(), "$JS.API.INFO");
});

claim("a drained subscription gets what was sent before", "none", async (world) => {
  const [subscriber, publisher] = [await world.client(), await world.client()];
  const subscription = await subscribed(subscriber, "drained");
  for (const number of upTo(1000)) publisher.publish("drained", `${number}`);
  await within(publisher.flush());
  const drained = subscription.drain();
  const got = [];
  for await (const message of subscription) got.push(Number(text(message)));
  await within(drained);
  assert.deepEqual(got, upTo(1000));
  await nobodyAnswers(publisher, "drained");
  assert.ok(!subscriber.isClosed());
});

claim("a drained connection gets and sends what was under way and closes", "none", async (world) => {
  const [draining, other] = [await world.client(), await world.client()];
  const answers = await subscribed(other, "answers");
  await subscribed(draining, "questions", {
    callback: (_, message) => draining.publish("answers", message.data),
  });
  for (const number of upTo(100)) other.publish("questions", `${number}`);
  await within(other.flush());
  await within(draining.drain());
  assert.equal(await within(draining.closed()), undefined);
  const got = await take(answers, 100);
  assert.deepEqual(got.map((message) => Number(text(message))), upTo(100));
  await nobodyAnswers(other, "questions");
});

for (const [what, end] of [["crash", "kill"], ["stop", "stop"]]) {
  claim(`after a ${what} subscriptions are renewed`, "none", async (world) => {
    const client = await world.client({
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    const statuses = watch(client);
    const renewed = (await subscribed(client, "renewed.*"))[Symbol.asyncIterator]();
    await subscribed(client, "service", {
      queue: "workers",
      callback: (_, message) => message.respond("here"),
    });
    client.publish("renewed.before", "1");
    await take(renewed, 1);
    await world.server[end]();
    await next(statuses, "disconnect");
    await world.server.startAgain();
    await next(statuses, "reconnect");
    // A round trip: subscriptions were sent before it.
    await within(client.flush());
    const other = await world.client();
    other.publish("renewed.after", "2");
    const [message] = await take(renewed, 1);
    assert.deepEqual([message.subject, text(message)], ["renewed.after", "2"]);
    for (const asker of [other, client]) {
      const reply = await asker.request("service", "", { timeout: PATIENCE });
      assert.equal(text(reply), "here");
    }
  });
}

claim("a payload of the limit arrives", "none", async (world) => {
  const client = await world.client();
  const subscription = await subscribed(client, "large");
  const payload = randomBytes(client.info.max_payload);
  client.publish("large", payload);
  const [message] = await take(subscription, 1);
  assert.ok(payload.equals(message.data));
});

claim("the client refuses a longer payload", "none", async (world) => {
  const client = await world.client();
  assert.throws(
    () => client.publish("large", new Uint8Array(client.info.max_payload + 1)),
    /max_payload size exceeded/,
  );
  await within(client.flush());
});

claim("the right token is accepted", "token", async (world) => {
  const client = await world.client({ token: "t0k" });
  await within(client.flush());
});

claim("a wrong token is refused", "token", async (world) => {
  await world.refused({ token: "t0ken" });
  await world.refused({});
});

claim("the right password is accepted", "users", async (world) => {
  const client = await world.client({ user: "alice", pass: "wonderland" });
  await within(client.flush());
});

claim("a wrong password is refused", "users", async (world) => {
  await world.refused({ user: "alice", pass: "builder" });
  await world.refused({ user: "carol", pass: "wonderland" });
  await world.refused({});
});

claim("the right nkey is accepted", "nkey", async (world) => {
  const client = await world.client({ authenticator: core.nkeyAuthenticator(bytes(SEED)) });
  await within(client.flush());
});

claim("another nkey is refused", "nkey", async (world) => {
  await world.refused({ authenticator: core.nkeyAuthenticator(bytes(OTHER_SEED)) });
  await world.refused({});
});

claim("a forbidden publish is reported and the connection stays", "users", async (world) => {
  const bob = await world.client({ user: "bob", pass: "builder" });
  const alice = await world.client({ user: "alice", pass: "wonderland" });
  const statuses = watch(bob);
  const everything = await subscribed(alice, ">");
  for (const subject of ["closed", "open.secret"]) {
    bob.publish(subject, "no");
    const { error } = await next(statuses, "error");
    assert.ok(error instanceof core.PermissionViolationError);
    assert.deepEqual([error.operation, error.subject], ["publish", subject]);
  }
  // The violation of a request is reported as well.
  await assert.rejects(bob.request("closed", "", { timeout: FAST }), (error) => {
    assert.ok(error.cause instanceof core.PermissionViolationError, `${error.cause}`);
    return true;
  });
  bob.publish("open.door", "yes");
  const [message] = await take(everything, 1);
  assert.deepEqual([message.subject, text(message)], ["open.door", "yes"]);
  assert.ok(!bob.isClosed());
});

claim("a forbidden subscribe is reported and the connection stays", "users", async (world) => {
  const bob = await world.client({ user: "bob", pass: "builder" });
  const alice = await world.client({ user: "alice", pass: "wonderland" });
  const statuses = watch(bob);
  for (const [subject, queue] of [["closed"], ["open.secret"], [">"], ["closed", "group"]]) {
    const subscription = bob.subscribe(subject, { queue, callback: () => {} });
    const { error } = await next(statuses, "error");
    assert.ok(error instanceof core.PermissionViolationError);
    assert.deepEqual(
      [error.operation, error.subject, error.queue],
      ["subscription", subject, queue],
    );
    // The client finds the subscription by subject and queue in the text of the error.
    assert.ok(subscription.isClosed());
  }
  const allowed = await subscribed(bob, "open.*");
  for (const subject of ["closed", "open.secret", "open.door"]) alice.publish(subject);
  const [message] = await take(allowed, 1);
  assert.equal(message.subject, "open.door");
  assert.ok(!bob.isClosed());
});

/** The terms of TLS of a client, which may have the certificate of a user. */
function terms(user, more = {}) {
  const file = (name) => `${CERTIFICATES}/${name}`;
  const own = user ? { certFile: file(`${user}.pem`), keyFile: file(`${user}.key`) } : {};
  return { tls: { caFile: file("ca.pem"), ...own, ...more } };
}

claim("messages arrive over tls", "tls", async (world) => {
  const client = await world.client(terms());
  const subscription = await subscribed(client, "large.*");
  const payload = randomBytes(300_000);
  client.publish("large.one", payload);
  const [message] = await take(subscription, 1);
  assert.equal(message.subject, "large.one");
  assert.ok(payload.equals(message.data));
  assert.equal(client.info.tls_required, true);
});

claim("a server of another authority is refused", "tls", async (world) => {
  await assert.rejects(world.client({ tls: {} }));
});

claim("messages arrive over tls that begins before info", "tls_first", async (world) => {
  const client = await world.client(terms(undefined, { handshakeFirst: true }));
  const subscription = await subscribed(client, "a.b");
  client.publish("a.b", "x");
  const [message] = await take(subscription, 1);
  assert.deepEqual([message.subject, text(message)], ["a.b", "x"]);
});

claim("a certificate is a user", "tls_users", async (world) => {
  const alice = await world.client(terms("alice@example.com"));
  const statuses = watch(alice);
  const everything = await subscribed(alice, ">");
  alice.publish("closed", "no");
  const { error } = await next(statuses, "error");
  assert.ok(error instanceof core.PermissionViolationError);
  alice.publish("open.door", "yes");
  const [message] = await take(everything, 1);
  assert.deepEqual([message.subject, text(message)], ["open.door", "yes"]);
});

claim("a certificate of nobody is refused", "tls_users", async (world) => {
  await world.refused(terms("bob"));
});

claim("a client without a certificate is refused", "tls_users", async (world) => {
  await assert.rejects(world.client(terms()));
});
