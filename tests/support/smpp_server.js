// An SMSC built on the npm package smpp. It reports each message: in its response it writes ids in hexadecimal, and in
// receipts in decimal. Only numbers that end in 0 get their message. Prints its port, and then a line of JSON for each event.
const smpp = require('smpp');

// one: a bind as transceiver; two: only as transmitter and receiver; later: receipts only over a later connection.
const [role] = process.argv.slice(2);
let binds = 0;
let next = 0xab00; // ids
let listener = null; // the session that takes receipts
const waiting = []; // receipts without a session, or that were not acknowledged

function say(event) { console.log(JSON.stringify(event)); }

function flush() {
  while (listener && waiting.length && (role !== 'later' || binds > 1)) {
    const receipt = waiting.shift();
    listener.deliver_sm(receipt, (response) => {
      say({ acknowledged: response.command_status });
      if (response.command_status) { waiting.push(receipt); setTimeout(flush, 200); }
    });
  }
}

function bind(session, pdu, takes) {
  if (pdu.command === 'bind_transceiver' && role === 'two') {
    session.send(pdu.response({ command_status: smpp.ESME_RINVCMDID }));
    return;
  }
  session.send(pdu.response({ system_id: 'node' }));
  say({ bound: pdu.command });
  binds += 1;
  if (takes) { listener = session; setTimeout(flush, 50); }
}

const server = smpp.createServer((session) => {
  session.on('bind_transceiver', (pdu) => bind(session, pdu, true));
  session.on('bind_receiver', (pdu) => bind(session, pdu, true));
  session.on('bind_transmitter', (pdu) => bind(session, pdu, false));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
  session.on('error', () => {});
  session.on('close', () => { if (listener === session) { listener = null; } });
  session.on('submit_sm', (pdu) => {
    const id = next++;
    say({ submitted: pdu.destination_addr, registered: pdu.registered_delivery });
    session.send(pdu.response({ message_id: id.toString(16).toUpperCase() }));
    const dates = 'submit date:2611250102 done date:2611250102';
    const result = pdu.destination_addr.endsWith('0') ? 'stat:DELIVRD err:000' : 'stat:UNDELIV err:027';
    waiting.push({
      esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      short_message: { message: `id:${id} sub:001 dlvrd:000 ${dates} ${result} text:Your code` },
    });
    setImmediate(flush);
  });
});
server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
