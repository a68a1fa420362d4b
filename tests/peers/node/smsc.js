// A message centre with npm's smpp (its codec, its alphabets): node smsc.js '{"port": 0, "password": ..., "tls": {...}}'
// Tells what happens as JSON, one a line; is told what to do the same way. It ends when its stdin does.
const fs = require('fs');
const smpp = require('smpp');

const options = JSON.parse(process.argv[2]);
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const plain = (part) => (Buffer.isBuffer(part) ? part.toString('hex') : part);

let answers = []; // statuses of the next parts; "silent" and "destroy" besides
let receipts = null; // "tlv", "text" or "both"
let taken = 0;
const sessions = new Set();

function receipt(session, pdu, id) {
  const told = { source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4 };
  if (receipts !== 'text') Object.assign(told, { receipted_message_id: id, message_state: 2 });
  if (receipts !== 'tlv') {
    // Answered in hexadecimal, reported in decimal: many centres do.
    told.short_message = `id:${parseInt(id, 16)} sub:001 dlvrd:001 submit date:2611281200 done date:2611281201 ` +
      'stat:DELIVRD err:000 text:';
  }
  session.deliver_sm(told, (answer) => tell({ event: 'receipt', id, status: answer.command_status }));
}

function part(session, pdu) {
  const answer = answers.length ? answers.shift() : 0;
  const message = (pdu.short_message && pdu.short_message.message) || '';
  const payload = pdu.message_payload && pdu.message_payload.message;
  const udh = (pdu.short_message && pdu.short_message.udh) || (pdu.message_payload && pdu.message_payload.udh) || [];
  tell({
    event: 'submit', answer, text: payload || plain(message), by_payload: payload !== undefined, udh: udh.map(plain),
    sar: [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum],
    source: pdu.source_addr, source_ton: pdu.source_addr_ton, source_npi: pdu.source_addr_npi,
    destination: pdu.destination_addr, destination_ton: pdu.dest_addr_ton,
    data_coding: pdu.data_coding, esm_class: pdu.esm_class, registered: pdu.registered_delivery,
  });
  if (answer === 'silent') return;
  if (answer === 'destroy') { session.socket.destroy(); return; }
  if (answer !== 0) { session.send(pdu.response({ command_status: answer })); return; }
  const id = (0xA0000000 + ++taken).toString(16);
  session.send(pdu.response({ message_id: id }));
  if (receipts && pdu.registered_delivery) receipt(session, pdu, id);
}

function serve(session) {
  const bind = (kind) => (pdu) => {
    const right = pdu.system_id === 'us' && pdu.password === options.password;
    session.send(pdu.response({ command_status: right ? 0 : 14, system_id: 'node' }));
    if (right) { session.kind = kind; sessions.add(session); }
    tell({ event: 'bind', kind, right });
    if (!right) session.close();
  };
  for (const kind of ['receiver', 'transmitter', 'transceiver']) session.on('bind_' + kind, bind(kind));
  session.on('submit_sm', (pdu) => part(session, pdu));
  session.on('enquire_link', (pdu) => { if (!options.deaf) session.send(pdu.response()); });
  session.on('unbind', (pdu) => { tell({ event: 'unbind' }); session.send(pdu.response()); session.close(); });
  session.on('close', () => { sessions.delete(session); tell({ event: 'close' }); });
  session.on('error', (error) => tell({ event: 'error', code: error.code || error.message }));
}

const told = {};
for (const [name, file] of Object.entries(options.tls || {})) told[name] = fs.readFileSync(file);
if (options.tls) Object.assign(told, { requestCert: 'ca' in told, rejectUnauthorized: 'ca' in told });
const server = smpp.createServer(told, serve);
server.on('tlsClientError', (error) => tell({ event: 'tls', code: error.code || error.message }));
server.listen(options.port, '127.0.0.1', () => tell({ event: 'listening', port: server.address().port }));

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  if (asked.do === 'answers') answers = asked.answers;
  if (asked.do === 'receipts') receipts = asked.as;
  if (asked.do === 'hear') options.deaf = false;
  if (asked.do === 'password') options.password = asked.password;
  if (asked.do === 'deliver') {
    const { id, fields, udh, hex } = asked;
    if (udh) fields.short_message = { udh: Buffer.from(udh, 'hex'), message: fields.short_message };
    if (hex) fields.short_message = Buffer.from(hex, 'hex');
    const [session] = [...sessions].filter((one) => one.kind !== 'transmitter').slice(-1);
    session[asked.command || 'deliver_sm'](fields, (answer) => tell({ event: 'answer', id, status: answer.command_status }));
  }
  tell({ event: 'told' });
}).on('close', () => process.exit(0));
