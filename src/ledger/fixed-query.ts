import type { Compilable, CompiledQuery } from 'kysely';
import type { Database, LedgerTransaction } from './database.js';

/**
 * A query whose text is always the same: built once, and from then on only given its values. `build` must hand each
 * value on as it is, wherever the query needs it, and decide nothing by it.
 */
export function fixedQuery<Given extends object, Row>(
  build: (db: Database | LedgerTransaction, given: Given) => Compilable<Row>,
): (db: Database | LedgerTransaction, given: Given) => Promise<Row[]> {
  let built: CompiledQuery<Row> | undefined;
  return async (db, given) => {
    built ??= build(db, PLACES as Given).compile();
    const parameters = built.parameters.map((value) =>
      value instanceof Place ? given[value.name as keyof Given] : value,
    );
    return (await db.executeQuery<Row>({ ...built, parameters })).rows;
  };
}

class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

const PLACES: object = new Proxy({}, { get: (_, name) => new Place(String(name)) });
