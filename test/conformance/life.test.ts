import assert from "node:assert/strict";
import { type TestContext, describe, test } from "node:test";
import { lacks } from "../support/skip.js";
import { waitFor } from "../support/wait.js";
import { type Answer, type Door, type House, openHouse, type Seen } from "./doors.js";

/**
 * What is true of every container, whichever door it was made through, whichever it is in the hands of, and whichever it is looked at through: three by three by
 * three. A door that has words of its own for it has the same meaning.
 */

const names = ["lxc", "libvirt", "library"] as const;

interface Visit extends House {
  /** Which door has made it. */
  readonly maker: Door;
  /** Which door asks for everything. */
  readonly door: Door;
  readonly name: string;
  /** All doors see that of it. */
  readonly allSee: (wanted: Seen | null) => Promise<void>;
  /** All doors come to see it so, within a moment; with the same main process. Gives that back. */
  readonly allComeToSee: (state: Seen["state"], other?: number | null) => Promise<number | null>;
}

async function visit(t: TestContext, by: Door["name"], of: Door["name"]): Promise<Visit> {
  const house = await openHouse(t);
  const pick = (wanted: Door["name"]): Door => {
    const found = house.doors.find(({ name }) => name === wanted);
    assert.ok(found !== undefined);
    return found;
  };
  const name = "islt-web";
  const maker = pick(of);
  await maker.make(name, house.rootfs(name));
  const views = (): Promise<readonly (Seen | null)[]> =>
    Promise.all(house.doors.map(async (door) => (await door.seen())[name] ?? null));
  return {
    ...house,
    maker,
    door: pick(by),
    name,
    allSee: async (wanted) => {
      assert.deepEqual(
        await views(),
        house.doors.map(() => wanted),
      );
    },
    allComeToSee: async (state, other = null) => {
      let last: readonly (Seen | null)[] = [];
      await waitFor(`all doors to see ${state}`, async () => {
        last = await views();
        const pids = new Set(last.map((seen) => seen?.pid ?? null));
        return last.every((seen) => seen?.state === state) && pids.size === 1 && !(other !== null && pids.has(other));
      });
      return last[0]?.pid ?? null;
    },
  };
}

/** What a door says to each of these about one container, one after another. */
async function answers(asks: readonly ((name: string) => Promise<Answer>)[], name: string): Promise<readonly Answer[]> {
  const out: Answer[] = [];
  for (const ask of asks) out.push(await ask(name));
  return out;
}

for (const of of names) {
  for (const by of names) {
    describe(`a container of ${of}, in the hands of ${by}`, () => {
      test("runs, rests, goes on, begins anew, ends, and goes, before all eyes", async (t) => {
        if (lacks(t, "root") || lacks(t, "virsh")) return;
        const { door, maker, name, allSee, allComeToSee } = await visit(t, by, of);
        await allSee({ state: "STOPPED", pid: null });
        assert.equal(await door.start(name), "done");
        const first = await allComeToSee("RUNNING");
        assert.ok(first !== null);
        assert.equal(await door.output(name, "/bin/hostname"), `${name}\n`);
        assert.equal(await door.freeze(name), "done");
        assert.equal(await allComeToSee("FROZEN"), first);
        assert.equal(await door.unfreeze(name), "done");
        assert.equal(await allComeToSee("RUNNING"), first);
        assert.equal(await door.reboot(name), "done");
        const second = await allComeToSee("RUNNING", first);
        assert.equal(await door.output(name, "/bin/echo", "again"), "again\n");
        assert.equal(await door.kill(name), "done");
        await allComeToSee("STOPPED");
        assert.equal(await door.start(name), "done");
        assert.notEqual(await allComeToSee("RUNNING"), second);
        assert.equal(await door.stop(name), "done");
        await allComeToSee("STOPPED");
        // What LXC's commands have made is described in LXC's words: virsh sends its users there.
        const isForeign = by === "libvirt" && of !== "libvirt";
        assert.equal(await door.remove(name), isForeign ? "not mine" : "done");
        if (isForeign) assert.equal(await maker.remove(name), "done");
        await allSee(null);
      });

      test("refuses what cannot be, and is as it was", async (t) => {
        if (lacks(t, "root") || lacks(t, "virsh")) return;
        const { door, name, allSee, allComeToSee } = await visit(t, by, of);
        assert.equal(await door.start(name), "done");
        const pid = await allComeToSee("RUNNING");
        assert.equal(await door.start(name), "it runs");
        assert.equal(await door.freeze(name), "done");
        await allComeToSee("FROZEN");
        assert.equal(await door.start(name), "it runs");
        assert.equal(await door.unfreeze(name), "done");
        assert.equal(await allComeToSee("RUNNING"), pid);
        assert.equal(await door.kill(name), "done");
        await allComeToSee("STOPPED");
        const { stop, kill, freeze, unfreeze, reboot } = door;
        const refused = await answers([stop, kill, freeze, reboot], name);
        assert.deepEqual(
          refused,
          refused.map(() => "it does not run"),
        );
        // LXC's does nothing then, and says nothing.
        assert.equal(await unfreeze(name), by === "lxc" ? "done" : "it does not run");
        await allSee({ state: "STOPPED", pid: null });
        const { start, remove } = door;
        const unknown = await answers([start, kill, freeze, remove], "islt-none");
        // Nor do LXC's stop and freeze tell what is not there from what does not run.
        const silent: Answer = by === "lxc" ? "it does not run" : "there is none";
        assert.deepEqual(unknown, ["there is none", silent, silent, "there is none"]);
      });

      test("has the limit that it was given last, whoever asks", async (t) => {
        if (lacks(t, "root") || lacks(t, "virsh")) return;
        const { door, doors, name } = await visit(t, by, of);
        assert.equal(await door.start(name), "done");
        for (const shares of [512, 2048]) {
          assert.equal(await door.setShares(name, shares), "done");
          for (const other of doors) assert.equal(await other.shares(name), shares, other.name);
        }
        assert.equal(await door.kill(name), "done");
      });

      test("ends before the eyes of all who wait for it", async (t) => {
        if (lacks(t, "root") || lacks(t, "virsh")) return;
        const { door, doors, name, allComeToSee } = await visit(t, by, of);
        assert.equal(await door.start(name), "done");
        await allComeToSee("RUNNING");
        const watches = await Promise.all(doors.map((each) => each.watchEnd(name)));
        assert.equal(await door.kill(name), "done");
        await Promise.all(watches.map(({ ended }) => ended));
      });
    });
  }
}
