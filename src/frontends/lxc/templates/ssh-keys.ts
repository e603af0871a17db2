import { generateKeyPair, type KeyObject, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { RootEditor } from "../../../spec/image.js";

/** Host keys for sshd, made anew for each container: neither an image nor another container has the same. */

const generate = promisify(generateKeyPair);

/** A string of the SSH protocol (RFC 4251): its length, then itself. */
function field(bytes: Uint8Array | string): Buffer {
  const data = Buffer.from(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}

/** A positive number: without zeroes in front, but for the one that says that it is positive. */
function positive(base64url: string): Buffer {
  const data = Buffer.from(base64url, "base64url");
  const first = data.findIndex((byte) => byte !== 0);
  const bare = data.subarray(Math.max(first, 0));
  return field((bare[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), bare]) : bare);
}

interface HostKey {
  /** As in the name of its file: rsa, ecdsa, ed25519. */
  readonly kind: string;
  readonly private: string;
  /** One line, without a comment. */
  readonly public: string;
}

const line = (type: string, blob: Buffer): string => `${type} ${blob.toString("base64")}`;

/** OpenSSH reads the other kinds of key from the usual PEM files, this kind only from files of its own format (its PROTOCOL.key). */
function ed25519File(blob: Buffer, secret: Buffer, bare: Buffer, comment: string): string {
  const check = randomBytes(4);
  const inner = [check, check, field("ssh-ed25519"), field(bare), field(Buffer.concat([secret, bare])), field(comment)];
  let body = Buffer.concat(inner);
  for (let padding = 1; body.length % 8 !== 0; padding += 1) body = Buffer.concat([body, Buffer.of(padding)]);
  const count = Buffer.of(0, 0, 0, 1);
  const whole = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    count,
    field(blob),
    field(body),
  ]);
  const base64 = whole.toString("base64").replace(/.{70}/g, "$&\n").trimEnd();
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${base64}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

const jwkOf = (key: KeyObject): Readonly<Record<string, unknown>> => ({ ...key.export({ format: "jwk" }) });
const text = (value: unknown): string => (typeof value === "string" ? value : "");

async function ed25519(comment: string): Promise<HostKey> {
  const { privateKey } = await generate("ed25519");
  const jwk = jwkOf(privateKey);
  const bare = Buffer.from(text(jwk["x"]), "base64url");
  const blob = Buffer.concat([field("ssh-ed25519"), field(bare)]);
  const secret = Buffer.from(text(jwk["d"]), "base64url");
  return { kind: "ed25519", private: ed25519File(blob, secret, bare, comment), public: line("ssh-ed25519", blob) };
}

async function ecdsa(): Promise<HostKey> {
  const { privateKey, publicKey } = await generate("ec", { namedCurve: "P-256" });
  const jwk = jwkOf(publicKey);
  const point = Buffer.concat([Buffer.of(4), ...["x", "y"].map((name) => Buffer.from(text(jwk[name]), "base64url"))]);
  const type = "ecdsa-sha2-nistp256";
  const blob = Buffer.concat([field(type), field("nistp256"), field(point)]);
  const pem = privateKey.export({ format: "pem", type: "sec1" });
  return { kind: "ecdsa", private: pem.toString(), public: line(type, blob) };
}

async function rsa(): Promise<HostKey> {
  const { privateKey, publicKey } = await generate("rsa", { modulusLength: 3072 });
  const jwk = jwkOf(publicKey);
  const blob = Buffer.concat([field("ssh-rsa"), positive(text(jwk["e"])), positive(text(jwk["n"]))]);
  const pem = privateKey.export({ format: "pem", type: "pkcs1" });
  return { kind: "rsa", private: pem.toString(), public: line("ssh-rsa", blob) };
}

export type HostKeys = readonly HostKey[];

/** Of the kinds that OpenSSH makes by default. `hostname`: for the comment, `root@HOSTNAME`. */
export function makeHostKeys(hostname: string): Promise<HostKeys> {
  return Promise.all([rsa(), ecdsa(), ed25519(`root@${hostname}`)]);
}

/** Takes the place of all host keys that are there. */
export function writeHostKeys(root: RootEditor, keys: HostKeys, hostname: string): void {
  for (const name of root.list("/etc/ssh")) if (/^ssh_host_.*key/.test(name)) root.remove(`/etc/ssh/${name}`);
  for (const key of keys) {
    root.write(`/etc/ssh/ssh_host_${key.kind}_key`, key.private, { mode: 0o600 });
    root.write(`/etc/ssh/ssh_host_${key.kind}_key.pub`, `${key.public} root@${hostname}\n`, { mode: 0o644 });
  }
}
