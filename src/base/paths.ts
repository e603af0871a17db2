/**
 * "/a/b/c" as ["/a", "/a/b", "/a/b/c"]: what has to be made for the path to be there. (mkdir with `recursive` is not to be trusted with a
 * user's path: Node 20 tries for ever to make a directory in /proc.)
 */
export function pathAndAncestors(path: string): readonly string[] {
  const names = path.split("/").filter((name) => name !== "");
  return names.map((_, index) => `/${names.slice(0, index + 1).join("/")}`);
}
