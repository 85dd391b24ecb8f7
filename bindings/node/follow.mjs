#!/usr/bin/env node
// follow.mjs: shows what time it is on a receiver, once a second, until Ctrl-C. examples/follow.c in JavaScript.
//
//     node follow.mjs RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]
//
// --truth names a file in which a simulated receiver says what its clock really reads; the table then has a column with
// the error.
import { readFileSync } from 'node:fs';
import { PtpbmcaError, Role, Session, SyncState, UINT64_MAX, name } from './index.js';

const signed = (value, digits) => (value < 0 ? '' : '+') + value.toFixed(digits);
const micros = (ns) => Number(ns) / 1e3;

// What the simulated receiver's clock reads at a monotonic time, by the last line of its file. null: it says nothing.
function truthAt(file, at) {
  const lines = readFileSync(file, 'latin1').split('\n').slice(0, -1).filter((line) => line.startsWith('truth '));
  if (lines.length === 0) return null;
  const [since, reads, skewPpb] = lines[lines.length - 1].split(' ').slice(1, 4).map(BigInt);
  return reads + (at - since) + BigInt(Math.trunc(Number(at - since) * Number(skewPpb) * 1e-9));
}

function row(session, truth) {
  const now = session.offset();
  const cells = [name(SyncState, now.syncState).padEnd(9), name(Role, now.role).padEnd(9),
    String(now.offsetNs).padStart(20), signed(now.skewPpm, 3).padStart(9)];
  if (!now.synchronized) return [...cells, session.status().advice].join('  ');
  const ageMs = now.ageNs === UINT64_MAX ? 0 : Number(now.ageNs) / 1e6;
  cells.push(micros(now.errorNs).toFixed(1).padStart(9), micros(now.pathDelayNs).toFixed(1).padStart(9),
    ageMs.toFixed(0).padStart(7), String(now.epoch).padStart(5));
  if (truth) {
    const before = process.hrtime.bigint();
    const receiverNs = session.receiverNow();
    const after = process.hrtime.bigint();
    const really = truthAt(truth, before + (after - before) / 2n);
    if (really !== null) cells.push(signed(micros(receiverNs - really), 1).padStart(9));
  }
  return cells.join('  ');
}

function options(args) {
  const found = { config: {}, seconds: 0, every: 1000, receiver: undefined, truth: undefined };
  const next = (list) => (list.length ? list.shift() : usage());
  while (args.length) {
    const argument = args.shift();
    if (argument === '--local') found.config.localAddress = next(args);
    else if (argument === '--ports') {
      found.config.eventPort = Number(next(args));
      found.config.generalPort = Number(next(args));
    } else if (argument === '--seconds') found.seconds = Number(next(args));
    else if (argument === '--every') found.every = Number(next(args));
    else if (argument === '--truth') found.truth = next(args);
    else if (!argument.startsWith('-') && !found.receiver) found.receiver = argument;
    else usage();
  }
  return found.receiver && found.every >= 1 ? found : usage();
}

function usage() {
  console.error('usage: follow.mjs RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] '
    + '[--truth FILE]');
  process.exit(2);
}

async function main() {
  const { receiver, config, seconds, every, truth } = options(process.argv.slice(2));
  let stop;
  const stopped = new Promise((resolve) => { stop = resolve; });
  let going = true;
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { going = false; stop(); });

  const session = await Session.start(receiver, config);
  try {
    await session.awaitSync(5000).catch((error) => {
      if (error.code !== 'PTPBMCA_ERR_TIMEOUT') throw error;
      console.error(`${error.code}: ${error.message}`);
    });
    const titles = ['state'.padEnd(9), 'role'.padEnd(9), 'offset ns'.padStart(20), 'skew ppm'.padStart(9),
      'bound us'.padStart(9), 'path us'.padStart(9), 'age ms'.padStart(7), 'epoch'.padStart(5)];
    console.log(titles.join('  ') + (truth ? '   error us' : ''));
    const end = performance.now() + seconds * 1e3;
    while (going) {
      console.log(row(session, truth));
      if (seconds > 0 && performance.now() >= end) break;
      let timer;
      await Promise.race([stopped, new Promise((resolve) => { timer = setTimeout(resolve, every); })]);
      clearTimeout(timer);
    }
  } finally {
    await session.stop();
  }
}

main().catch((error) => {
  console.error(error instanceof PtpbmcaError ? `${error.code}: ${error.message}` : String(error));
  process.exitCode = 1;
});
