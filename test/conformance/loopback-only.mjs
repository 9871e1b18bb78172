// Made-up addresses of webhook endpoints shall trouble nobody: no socket of a process that loads this leaves the machine.
import { Socket } from 'node:net';

const connect = Socket.prototype.connect;

Socket.prototype.connect = function (...args) {
  const [options] = args.flat();
  const host = typeof options === 'object' ? (options.host ?? 'localhost') : 'localhost';
  if (/^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)) return connect.apply(this, args);
  process.nextTick(() => this.destroy(Object.assign(new Error('not here'), { code: 'EHOSTUNREACH' })));
  return this;
};
