import { createHash, randomBytes } from 'node:crypto';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult, TransactionSettings } from 'kysely';
import pg from 'pg';

/** Whatever comes after so many texts is planned at each call: a connection keeps what it is given for good. */
const NAMES_MAX = 256;
const HASH_LENGTH = 16;
const GENERATION_BYTES = 6;

/** Has PostgreSQL parse and plan each text once a connection, and no longer once a call. */
export class PreparedDriver implements Driver {
  readonly #pool: pg.Pool;
  readonly #names = new Names();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  async acquireConnection(): Promise<PreparedConnection> {
    return new PreparedConnection(await this.#pool.connect(), this.#names);
  }

  beginTransaction(
    connection: PreparedConnection,
    { isolationLevel, accessMode }: TransactionSettings,
  ): Promise<void> {
    const level = isolationLevel ? ` isolation level ${isolationLevel}` : '';
    const mode = accessMode ? ` ${accessMode}` : '';
    connection.begin(`begin${level}${mode}`);
    return Promise.resolve();
  }

  async commitTransaction(connection: PreparedConnection): Promise<void> {
    // To a transaction in which a statement has failed, PostgreSQL answers with another word, and no error.
    if ((await connection.end('commit')) !== 'COMMIT') throw new Error('nothing was committed');
  }

  async rollbackTransaction(connection: PreparedConnection): Promise<void> {
    await connection.end('rollback');
  }

  releaseConnection(connection: PreparedConnection): Promise<void> {
    connection.client.release();
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return this.#pool.end();
  }
}

class PreparedConnection implements DatabaseConnection {
  readonly client: pg.PoolClient;
  readonly #names: Names;
  #inTransaction = false;
  #begun: Promise<unknown> | null = null;

  constructor(client: pg.PoolClient, names: Names) {
    this.client = client;
    this.#names = names;
  }

  /** It goes out with the first statement, and takes no round trip of its own. */
  begin(words: string): void {
    this.#inTransaction = true;
    this.#begun = this.client.query(words);
    this.#begun.catch(() => undefined);
  }

  /** @returns what became of it. */
  async end(word: 'commit' | 'rollback'): Promise<string> {
    const { command } = await this.client.query(word);
    this.#inTransaction = false;
    return command;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const named = this.#names.of(query);
    try {
      const begun = this.#begun;
      this.#begun = null;
      // Were it to fail, the next statement would be on its own: of that nothing may come but an answer.
      if (!query.sql.startsWith('select')) await begun;
      const [result] = await Promise.all([this.#send<R>(query, named), begun]);
      return result;
    } catch (error) {
      if (named === undefined || !isOutdated(error)) throw error;
      this.#names.renew(query, named);
      // Nothing of it ran; but a transaction is over with it.
      if (this.#inTransaction) throw error;
      return this.#send(query, this.#names.of(query));
    }
  }

  streamQuery(): never {
    throw new Error('nothing of the ledger is read as a stream');
  }

  async #send<R>(query: CompiledQuery, named: Named | undefined): Promise<QueryResult<R>> {
    const { command, rowCount, rows } = await this.client.query<R & pg.QueryResultRow>({
      ...(named ?? { text: query.sql }),
      values: [...query.parameters],
    });
    return command === 'SELECT' ? { rows } : { rows, numAffectedRows: BigInt(rowCount ?? 0) };
  }
}

interface Named {
  readonly name: string;
  readonly text: string;
}

/** What each text is called on every connection of a pool. */
class Names {
  readonly #byText = new Map<string, Named>();
  #generation = '';

  /** Undefined: it has none. */
  of({ sql: text, parameters }: CompiledQuery): Named | undefined {
    const known = this.#byText.get(text);
    if (known !== undefined || parameters.length === 0 || this.#byText.size >= NAMES_MAX) return known;
    const hash = createHash('sha256').update(text).digest('base64url').slice(0, HASH_LENGTH);
    const named = { name: `${hash}${this.#generation}`, text: `${text}${this.#generation}` };
    this.#byText.set(text, named);
    return named;
  }

  /** All get other names, unless they have had them since. And other texts: PgBouncer tells statements apart by theirs. */
  renew(query: CompiledQuery, named: Named): void {
    if (this.#byText.get(query.sql) !== named) return;
    this.#byText.clear();
    // As no process had it before: what was parsed for another one may be outdated as well.
    this.#generation = ` -- ${randomBytes(GENERATION_BYTES).toString('base64url')}`;
  }
}

/** A table has got other columns since the statement was parsed. The words depend on the server's language. */
function isOutdated(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.routine === 'RevalidateCachedQuery';
}
