import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { cleanup, type Cleaner } from "./cleanup.js";

/** What a server does with a request for a path, in place of answering well. */
export type Misdeed =
  /** So many bytes, then the connection ends. */
  | { readonly kind: "cut"; readonly after: number }
  /** So many bytes, then nothing. */
  | { readonly kind: "stall"; readonly after: number }
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "redirect"; readonly to: string };

export interface Request {
  readonly path: string;
  readonly range: string | null;
  readonly headers: IncomingMessage["headers"];
}

/** A server of the test's own on loopback, which counts what it is asked and misbehaves as it is told. */
export interface ImageServer {
  /** "http://127.0.0.1:4711" */
  readonly url: string;
  readonly host: string;
  readonly files: Map<string, Uint8Array>;
  /** Taken one by one, in order, by requests for the path. */
  readonly misdeeds: Map<string, Misdeed[]>;
  readonly requests: Request[];
  /** Bytes of bodies that went out, by path. */
  readonly sent: Map<string, number>;
  /** Gets every request first; true: it has answered. */
  handle: (request: IncomingMessage, response: ServerResponse, path: string) => boolean;
  /** Ranges and ETags are ignored. */
  isSimple: boolean;
  readonly paths: () => readonly string[];
}

export const sha256 = (bytes: string | Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export async function imageServer(t: Cleaner): Promise<ImageServer> {
  const server: Server = createServer((request, response) => {
    answer(self, request, response);
  });
  server.keepAliveTimeout = 1000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  cleanup(t)(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const self: ImageServer = {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    files: new Map(),
    misdeeds: new Map(),
    requests: [],
    sent: new Map(),
    handle: () => false,
    isSimple: false,
    paths: () => self.requests.map(({ path }) => path),
  };
  return self;
}

function answer(self: ImageServer, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url ?? "/", self.url).pathname);
  self.requests.push({ path, range: request.headers.range ?? null, headers: request.headers });
  if (self.handle(request, response, path)) return;
  const misdeed = self.misdeeds.get(path)?.shift();
  if (misdeed?.kind === "status" || misdeed?.kind === "redirect") {
    response.writeHead(
      misdeed.kind === "status" ? misdeed.status : 302,
      misdeed.kind === "redirect" ? { location: misdeed.to } : {},
    );
    response.end();
    return;
  }
  const bytes = self.files.get(path);
  if (bytes === undefined) {
    response.writeHead(404).end("no such page\n");
    return;
  }
  const etag = `"${sha256(bytes).slice(0, 16)}"`;
  const from = self.isSimple ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  const condition = request.headers["if-range"];
  const start = from !== null && (condition === undefined || condition === etag) ? Number(from[1]) : 0;
  if (start > 0 && start >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const part = bytes.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, {
    "content-length": part.length,
    ...(self.isSimple ? {} : { etag, "accept-ranges": "bytes" }),
    ...(start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  const most = misdeed === undefined ? part.length : Math.min(misdeed.after, part.length);
  self.sent.set(path, (self.sent.get(path) ?? 0) + most);
  response.write(part.subarray(0, most), () => {
    if (misdeed?.kind === "cut") response.destroy();
    else if (misdeed === undefined) response.end();
  });
}

/** Files of a server with LXC's own index. `lines`: path of the directory below the server to the five names of its image. */
export function lxcIndex(images: ReadonlyMap<string, readonly string[]>): string {
  return [...images].map(([path, names]) => `${names.join(";")};/${path}/\n`).join("");
}

/** The two documents of a simplestreams server with one product. */
export function streams(product: {
  readonly os: string;
  readonly release: string;
  readonly arch: string;
  readonly variant?: string;
  readonly aliases?: string;
  readonly versions: Readonly<
    Record<string, readonly { readonly ftype: string; readonly path: string; readonly bytes: Uint8Array }[]>
  >;
}): { readonly index: string; readonly products: string } {
  const { versions, ...names } = product;
  const name = `${product.os.toLowerCase()}:${product.release}:${product.arch}:${product.variant ?? "default"}`;
  const index = {
    format: "index:1.0",
    index: {
      images: { datatype: "image-downloads", format: "products:1.0", path: "streams/v1/images.json", products: [name] },
    },
  };
  const items = (files: (typeof versions)[string]): unknown =>
    Object.fromEntries(
      files.map(({ ftype, path, bytes }) => [ftype, { ftype, path, size: bytes.length, sha256: sha256(bytes) }]),
    );
  const products = {
    format: "products:1.0",
    content_id: "images",
    datatype: "image-downloads",
    products: {
      [name]: {
        ...names,
        versions: Object.fromEntries(Object.entries(versions).map(([time, files]) => [time, { items: items(files) }])),
      },
    },
  };
  return { index: JSON.stringify(index), products: JSON.stringify(products) };
}
