// Prints docs/licences.md from the lockfile: `npm run -s licences > docs/licences.md`.
import { readFileSync } from 'node:fs';

const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));

/** The lockfile knows none: read in the package itself. */
const READ_BY_HAND = { unionfs: 'Unlicense' };

const byLicence = new Map();
for (const [path, { dev, devOptional, version, license }] of Object.entries(packages)) {
  if (path === '' || dev || devOptional) continue;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const licence = license ?? READ_BY_HAND[name] ?? 'UNKNOWN';
  byLicence.set(licence, (byLicence.get(licence) ?? new Set()).add(`${name} ${version}`));
}

console.log(`# Licences of what is shipped

Every package that runs in production, from the lockfile, by \`npm run -s licences > docs/licences.md\`. Development
packages aren't shipped and aren't listed. Estorno itself: [MIT](../LICENSE).`);
for (const [licence, names] of [...byLicence].sort(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(`\n## ${licence} (${names.size})\n\n${[...names].sort().join(', ')}`);
}
