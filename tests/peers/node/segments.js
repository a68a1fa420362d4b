// Reads texts as JSON, one a line; writes what sms-segments-calculator and the platform's own segmenter make of each.
const { SegmentedMessage } = require('sms-segments-calculator');
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const text = JSON.parse(line);
  const found = new SegmentedMessage(text);
  process.stdout.write(JSON.stringify({
    encoding: found.encodingName,
    parts: found.segments.map((s) => Array.from(s).filter((c) => typeof c.raw === 'string').map((c) => c.raw).join('')),
    bits: found.messageSize,
    graphemes: [...graphemes.segment(text)].map((s) => s.segment),
  }) + '\n');
});
