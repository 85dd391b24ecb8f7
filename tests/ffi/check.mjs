// check.mjs: the Node.js module against what C says of the header, and what it makes of errors and lifetimes. It stands
// beside index.js when it runs.
//
//     node check.mjs layout FILE        FILE: what layout.c printed
//     node check.mjs calls              Binds 127.0.42.1, ports 24319 and 24320.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as ptpbmca from './index.js';
import { Event, Role, RolePolicy, Session, SyncState, UINT64_MAX } from './index.js';

const KINDS = {
  Int32: 'i32', Int64: 'i64', UInt8: 'u8', UInt16: 'u16', UInt32: 'u32', UInt64: 'u64', Float64: 'f64', String: 'text',
  Array: 'array',
};

function kind(member) {
  if (member.type.primitive === 'Record') return member.type.name.replace('ptpbmca_', '');
  // koffi knows no difference between the two, and neither is ever set.
  if (member.name === 'on_event' && member.type.primitive === 'Pointer') return 'callback';
  return member.type.primitive === 'Pointer' ? 'pointer' : KINDS[member.type.primitive];
}

function layout(file) {
  const c = readFileSync(file, 'latin1').trim().split('\n');
  assert(c.length > 100, 'the C program printed too little');
  const ours = [];
  for (const [title, struct] of Object.entries(ptpbmca.structs)) {
    ours.push(`struct ${title} ${struct.size}`);
    for (const member of Object.values(struct.members)) {
      ours.push(`field ${title} ${member.name} ${member.offset} ${member.type.size} ${kind(member)}`);
    }
  }
  const tables = [['', ptpbmca.Result], ['', Role], ['CLOCK_', ptpbmca.Clock], ['ROLE_', RolePolicy],
    ['SYNC_', SyncState], ['EVENT_', Event]];
  for (const [prefix, table] of tables) {
    for (const [title, number] of Object.entries(table)) ours.push(`constant ${prefix}${title} ${number}`);
  }
  // The log is not offered here.
  const wanted = c.filter((line) => !line.startsWith('constant LOG_'));
  assert.deepEqual(ours.sort(), wanted.sort());
  console.log(`${ours.length} sizes, places, types and constants`);
}

const LOOPBACK = { localAddress: '127.0.42.1', eventPort: 24319, generalPort: 24320 };

async function errors() {
  await assert.rejects(Session.start('speaker.local'), (error) => error.code === 'PTPBMCA_ERR_INVALID_ADDRESS'
    && error.result === ptpbmca.Result.ERR_INVALID_ADDRESS && error.message.includes('speaker.local'));
  await assert.rejects(Session.start('127.0.42.2', { role: 77 }), { code: 'PTPBMCA_ERR_INVALID_ARGUMENT' });
  await assert.rejects(Session.start('127.0.42.2', { eventPort: 70000 }), /eventPort is out of range/);
  await assert.rejects(Session.start('127.0.42.2', { prority1: 1 }), /no prority1/);
  await assert.rejects(Session.start('127.0.42.2\0junk'), /zero/);
  assert.match(ptpbmca.version(), /^\d+\.\d+\.\d+$/);
}

// Nobody is there: what is said of that, and the local time all the same.
async function unsynchronized() {
  const session = await Session.start('127.0.42.2', { role: RolePolicy.FOLLOW, readyTimeoutMs: 0, ...LOOPBACK });
  const passes = (value) => (error) => {
    assert.equal(error.code, 'PTPBMCA_ERR_NOT_SYNCHRONIZED');
    assert.deepEqual(error.passedThrough, value);
    return true;
  };
  const large = 2n ** 62n + 1n;
  assert.throws(() => session.receiverTime(large), passes(large));
  assert.throws(() => session.localTime(5n), passes(5n));
  assert.throws(() => session.anchor(-5n), (error) => error.passedThrough.receiverNs === 0n);
  assert.throws(() => session.receiverTime(2n ** 63n), RangeError);
  assert.throws(() => session.localTime(-1n), RangeError);
  await assert.rejects(session.awaitSync(1), { code: 'PTPBMCA_ERR_TIMEOUT' });
  const now = session.offset();
  assert.deepEqual([now.errorNs, now.syncState, now.synchronized], [UINT64_MAX, SyncState.SILENT, false]);
  const status = session.status();
  assert.deepEqual([status.eventPort, status.generalPort, status.announced], [24319, 24320, false]);
  assert.equal(status.refused.wrongSource, 0n);
  assert(status.advice.length > 20 && !('reserved' in status) && !('reserved8' in status));
  await session.stop();
  assert.throws(() => session.offset(), { code: 'PTPBMCA_ERR_NO_SESSION' });
  await session.stop();
}

async function events() {
  const session = await Session.start('127.0.42.2', { role: RolePolicy.LEAD, ...LOOPBACK });
  const seen = [];
  let told;
  const stopped = new Promise((resolve) => { told = resolve; });
  session.watch((event, now) => {
    seen.push(event);
    if (event === 'SYNCHRONIZED') {
      assert.equal(now.role, Role.LEADING);
      assert(now.grandmasterId === now.localClockId && now.localClockId !== 0n);
      session.stop();
    }
    if (event === 'STOPPED') told();
  }, 10);
  await session.awaitSync();
  const anchor = session.anchor(session.localNow());
  assert.equal(anchor.receiverNs, anchor.seconds * 10n ** 9n + ((anchor.fraction * 10n ** 9n + 2n ** 63n) >> 64n));
  assert.equal(session.localTime(session.receiverTime(10n ** 18n + 1n)), 10n ** 18n + 1n);
  const keeps = setTimeout(() => assert.fail(`no end, only ${seen}`), 10_000);
  await stopped;
  clearTimeout(keeps);
  assert.deepEqual(seen.filter((event) => event !== 'EPOCH_CHANGED'),
    ['ROLE_CHANGED', 'GRANDMASTER_CHANGED', 'SYNCHRONIZED', 'STOPPED']);
}

// Left open, a session does not keep the process from ending.
async function unstopped() {
  (await Session.start('127.0.42.2', { role: RolePolicy.LEAD, ...LOOPBACK })).watch(() => {});
}

if (process.argv[2] === 'layout') layout(process.argv[3]);
else for (const test of [errors, unsynchronized, events, unstopped]) await test();
