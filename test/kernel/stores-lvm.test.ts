import { volumeKinds } from "../support/store-kinds.js";
import { passesList } from "./store-list.js";

/** Apart from the others: where there is a device mapper, in the virtual machine, everything takes long. */

for (const kind of volumeKinds) passesList(kind);
