import { silentLogger } from '../../src/kernel/logger.ts';
import { EmbeddedPostgresError } from '../../src/store/postgres/embedded/failure.ts';
import { startEmbeddedPostgres } from '../../src/store/postgres/embedded.ts';
import { openDatabase } from '../../src/store/postgres/open.ts';

// A server process reduced to its database, for tests that kill it: node embedded_child.ts <data directory> [insert]
// One JSON line when ready or refused, then the number of each row that PostgreSQL acknowledged. SIGTERM stops it.

interface NumberTable {
  numbers: { number: number };
}

const [dataDirectory, mode] = process.argv.slice(2) as [string, string | undefined];

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function insertForever(connection: Parameters<typeof openDatabase>[0]['connection']): Promise<never> {
  const { db } = openDatabase<NumberTable>({ connection, poolMax: 1, log: silentLogger });
  await db.schema.createTable('numbers').ifNotExists().addColumn('number', 'integer').execute();
  for (let number = 1; ; number += 1) {
    await db.insertInto('numbers').values({ number }).execute();
    report({ acknowledged: number });
  }
}

try {
  const onLost = () => process.exit(3);
  const server = await startEmbeddedPostgres({ dataDirectory, log: silentLogger, onLost });
  report({ ready: true, postmasterPid: server.postmasterPid, wasAdopted: server.wasAdopted });
  process.once('SIGTERM', () => server.stop().then(() => process.exit(0)));
  if (mode === 'insert') await insertForever(server.connection);
} catch (error) {
  if (!(error instanceof EmbeddedPostgresError)) throw error;
  report({ refused: error.code, message: error.message });
  process.exitCode = 1;
}
