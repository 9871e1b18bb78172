// `npm start` is one process, so that Ctrl-C and `kill` reach the launcher itself.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = [
  'src',
  'workflows',
  'activities',
  'simulators',
  'scripts',
  'tsconfig.json',
  'tsconfig.build.json',
  'package-lock.json',
];
const stamp = join(root, 'dist', '.built-from');

async function start() {
  if (!existsSync(join(root, 'node_modules'))) throw new Error('node_modules is missing: run npm ci first');
  const hash = hashSources();
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== hash) {
    console.log('Building');
    // A build that fails or is interrupted half-way must not pass for the one before it.
    rmSync(stamp, { force: true });
    await build();
    writeFileSync(stamp, hash);
  }
  const { runDev } = await import(new URL('../dist/src/dev.js', import.meta.url).href);
  return runDev(process.argv.slice(2), process.env);
}

function hashSources() {
  const hash = createHash('sha256');
  const add = (path) => {
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      return readdirSync(path)
        .sort()
        .forEach((name) => add(join(path, name)));
    }
    hash.update(path.slice(root.length)).update('\0').update(readFileSync(path)).update('\0');
  };
  for (const source of sources) add(join(root, source));
  return hash.digest('hex');
}

function build() {
  return new Promise((resolve, reject) => {
    const npm = spawn('npm', ['run', '-s', 'build'], { cwd: root, stdio: 'inherit' });
    const interrupt = () => npm.kill('SIGTERM');
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    npm.once('error', reject).once('exit', (code) => {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      if (code === 0) resolve();
      else reject(new Error('the build failed or was interrupted'));
    });
  });
}

try {
  process.exit(await start());
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
