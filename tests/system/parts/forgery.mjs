// What somebody sends who wants to be taken for another person: every way to write a header that an old server may read
// as the one that its application believes.

/** Sets of headers, each of which claims `value` for the header `name`, and says what it tries. */
export function forgeries(name, value) {
  const other = (separator) => name.replaceAll("-", separator);
  const spellings = [
    name,
    name.toLowerCase(),
    name.toUpperCase(),
    other("_"),
    other("_").toUpperCase(),
    other("."),
    other("~"),
    other("!"),
    name.replace("-", "_"),
    name.replace(/-(?=[^-]*$)/, "."),
  ];
  return [
    ...spellings.map((spelling) => ({ what: spelling, headers: { [spelling]: value } })),
    { what: "sent twice", headers: { [name]: [value, value] } },
    { what: "two spellings", headers: { [name]: value, [other("_")]: value } },
    { what: "a list", headers: { [name]: `${value},${value}` } },
    { what: "empty", headers: { [name]: "" } },
    { what: "all at once", headers: Object.fromEntries(spellings.map((spelling) => [spelling, value])) },
    // The connection's own options name fields that the next hop must drop (RFC 9110 section 7.6.1).
    { what: "dropped by Connection", headers: { connection: `close, ${name}`, [name]: value } },
    { what: "REMOTE_USER itself", headers: { "Remote-User": value, REMOTE_USER: value, "remote.user": value } },
    { what: "Basic credentials", headers: { authorization: `Basic ${btoa(`${value}:guess`)}` } },
  ];
}
