// Azure Cosmos DB for tests, on loopback and in memory: the npm package @vercel/cosmosdb-server, with what a cache
// needs and the package lacks. `cosmos_emulator.py` starts it; by hand:
//
//   NODE_PATH=<folder>/node_modules node cosmos_emulator.cjs [--port 8081] [--key <base64>] [--token <text>]
//       [--certificate <pem file with its key>]
//
// It prints `READY <url>` and ends when its standard input does. Added to the package:
//
// - a missing item is 404, and an expired one is missing;
// - a query is limited to its partition; a batch finds its partition, and is done whole or not at all;
// - with --key, a wrong signature is 401, and the token of a managed identity is --token; an item above 2 MB is 413;
// - with --certificate it speaks TLS;
// - a container read tells how much is in it, when asked to (x-ms-resource-usage);
// - connections are kept alive;
// - GET /__requests: what was asked since the last time, as "VERB path" each, without the account's description,
//   which an SDK asks for when it likes;
// - POST /__fault: the next `times` requests whose path holds `only` ("/docs" unless said; "" for all) first wait
//   `delay_ms`, and then either lose their connection (`lose`: "request" before anything is done, "answer" after it),
//   or are answered `status` with `retry_after_ms` and `substatus`, or, without either, go on as they are. With
//   `every` and `cycle`, each so many-th request has the next of several such faults instead, for good.
"use strict";
const { AsyncLocalStorage } = require("async_hooks");
const crypto = require("crypto");
const path = require("path");
const root = path.join(path.dirname(require.resolve("@vercel/cosmosdb-server/package.json")), "lib");
const part = name => require(path.join(root, name));

const LARGEST = 2 * 1024 * 1024;
const LACKING = { code: "NotFound", message: "Entity with the specified id does not exist in the system." };
const argument = name => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] : undefined;
};

// What the package's handlers do, mended. They are looked up in its routes, so this comes before those load.

const mend = (name, handler) => {
  const found = part(`handler/${name}`);
  const original = found.default;
  found.default = (...call) => handler(original, ...call);
};
const partitionOf = req => {
  try {
    const [value] = JSON.parse(req.headers["x-ms-documentdb-partitionkey"]);
    return typeof value === "object" ? undefined : value;
  } catch {
    return undefined;
  }
};
const asked = new AsyncLocalStorage();

mend("read-document", (original, account, req, res, at) => {
  const container = account.database(at.dbId).collection(at.collId);
  if (container.read() && !container.document(at.docId, partitionOf(req)).read()) {
    res.statusCode = 404;
    return LACKING;
  }
  return original(account, req, res, at);
});
mend("query-documents", (original, account, req, res, at) => {
  const partition = partitionOf(req);
  if (partition === undefined) return original(account, req, res, at);
  req.headers["x-ms-documentdb-query-enablecrosspartition"] = "true";
  return asked.run({ partition }, () => original(account, req, res, at));
});
mend("read-collection", async (original, account, req, res, at) => {
  const found = await original(account, req, res, at);
  if (req.headers["x-ms-documentdb-populatequotainfo"] && res.statusCode < 400) {
    const documents = account.database(at.dbId).collection(at.collId).documents;
    const sizes = [...documents._data.values()].map(item => JSON.stringify(item.read()).length);
    const kilobytes = Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / 1024);
    res.setHeader("x-ms-resource-usage", `documentsSize=${kilobytes};documentsCount=${sizes.length};`);
  }
  return found;
});
const readJson = part("json").default;
const operation = part("handler/_document-operations");
mend("batch-documents", async (original, account, req, res, at) => {
  const asked = await readJson(req);
  const collection = account.database(at.dbId).collection(at.collId);
  if (!collection.read()) {
    res.statusCode = 404;
    return LACKING;
  }
  const { documents } = collection;
  const before = [new Map(documents._data), new Map(documents._index)];
  const done = [];
  for (const one of asked) {
    one.partitionKey ??= req.headers["x-ms-documentdb-partitionkey"];
    const { statusCode, body } = operation[`${one.operationType.toLowerCase()}Operation`](collection, one);
    if (statusCode >= 400) {
      [documents._data, documents._index] = before;
      return asked.map((_, index) => ({ statusCode: index === done.length ? statusCode : 424, requestCharge: 0 }));
    }
    done.push({ statusCode, requestCharge: 1, eTag: body?._etag, resourceBody: body });
  }
  return done;
});

// Time to live: of the item, else of the container, and only where the container has one.

const Documents = part("account/documents").default;
const Items = part("account/items").default;
const isOver = (documents, item) => {
  const preset = item && documents._parent.read()?.defaultTtl;
  if (preset === undefined || preset === null) return false;
  const ttl = item.ttl ?? preset;
  return ttl > 0 && Date.now() / 1000 >= item._ts + ttl;
};
Documents.prototype._item = function (keyPath, value, partition) {
  const found = Items.prototype._item.call(this, keyPath, value, partition);
  const item = found.read();
  if (!isOver(this, item)) return found;
  this.delete(item.id, partition);
  return Items.prototype._item.call(this, keyPath, value, partition);
};
Documents.prototype.delete = function (id, partition) {
  const { _item } = this;
  this._item = Items.prototype._item;
  try {
    return Items.prototype.delete.call(this, id, partition);
  } finally {
    this._item = _item;
  }
};
for (const name of ["query", "read"]) {
  Documents.prototype[name] = function (...call) {
    const all = this._data;
    const partition = asked.getStore()?.partition;
    const wanted = item => !isOver(this, item) && (partition === undefined || this._getPartition(item) === partition);
    this._data = new Map([...all].filter(([, item]) => wanted(item.read())));
    try {
      return Items.prototype[name].apply(this, call);
    } finally {
      this._data = all;
    }
  };
}

// The door in front: signatures, sizes, faults.

const isSigned = (req, key) => {
  const steps = decodeURIComponent(req.url.split("?")[0]).split("/").filter(Boolean);
  const type = steps[(steps.length - 1) & ~1] ?? "";
  const link = steps.slice(0, steps.length & ~1).join("/");
  const text = [req.method.toLowerCase(), type, link, (req.headers["x-ms-date"] ?? "").toLowerCase(), "", ""].join("\n");
  const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
  const said = decodeURIComponent(req.headers.authorization ?? "");
  return said === `type=master&ver=1.0&sig=${signature}` || (token && said === `type=aad&ver=1.0&sig=${token}`);
};
const answer = (req, res, status, code, headers = {}) => {
  req.resume();
  res.writeHead(status, { "content-type": "application/json", connection: "keep-alive", ...headers });
  res.end(JSON.stringify({ code, message: `${code}, says the emulator` }));
};
let fault = { times: 0 };
let requests = [];
const key = argument("key");
const token = argument("token");

const serve = (req, res) => {
  if (key && !isSigned(req, key)) return answer(req, res, 401, "Unauthorized");
  if (Number(req.headers["content-length"] ?? 0) > LARGEST) return answer(req, res, 413, "RequestEntityTooLarge");
  return inner(req, res);
};
const suffer = (req, res, { lose, status, retry_after_ms = 1, substatus = 0 }) => {
  if (lose === "request") return req.socket.destroy();
  if (lose === "answer") {
    res.end = () => req.socket.destroy();
    return serve(req, res);
  }
  if (!status) return serve(req, res);
  return answer(req, res, status, String(status), {
    "x-ms-retry-after-ms": String(retry_after_ms),
    "x-ms-substatus": String(substatus),
  });
};
const door = (req, res) => {
  if (req.url === "/__requests") {
    res.end(JSON.stringify(requests));
    requests = [];
    return;
  }
  if (req.url === "/__fault") {
    let body = "";
    req.on("data", piece => (body += piece)).on("end", () => {
      fault = { only: "/docs", ...JSON.parse(body) };
      res.end("{}");
    });
    return;
  }
  if (req.url !== "/") requests.push(`${req.method} ${req.url}`);
  const due = req.url.includes(fault.only) ? nextFault() : undefined;
  if (!due) return serve(req, res);
  setTimeout(suffer, due.delay_ms ?? 0, req, res, due);
};
const nextFault = () => {
  if (fault.every) {
    fault.seen = (fault.seen ?? 0) + 1;
    const turn = fault.seen / fault.every;
    return Number.isInteger(turn) ? fault.cycle[turn % fault.cycle.length] : undefined;
  }
  return fault.times-- > 0 ? fault : undefined;
};

const { createHttpServer, createHttpsServer } = require("@vercel/cosmosdb-server");
const pem = argument("certificate") && require("fs").readFileSync(argument("certificate"));
const server = pem ? createHttpsServer({ keepAlive: true, cert: pem, key: pem }) : createHttpServer({ keepAlive: true });
const [inner] = server.listeners("request");
server.removeAllListeners("request");
server.on("request", door);
server.keepAliveTimeout = 60000;
server.listen(Number(argument("port") ?? 0), "127.0.0.1", () => {
  console.log(`READY ${pem ? "https" : "http"}://127.0.0.1:${server.address().port}`);
});
process.stdin.on("end", () => process.exit(0)).resume();
