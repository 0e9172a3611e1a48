// Next-token probabilities and a greedy text of a GGUF file, by real llama.cpp (npm's node-llama-cpp).
//
//     npm install node-llama-cpp --ignore-scripts
//     node tools/compare/llama_cpp.mjs MODEL.gguf TEXT_FILE [ADAPTER.gguf]
//
// Prints one JSON value: `tokens`, the ids of the text; `nats`, -ln p of each token after the first and of the end of the text; `mean`, which
// `peft eval --task causal-lm` calls the loss of a JSONL row with that text as its `text`; `greedy`, the ids that follow the text when the likeliest one is taken
// 16 times, and `text`, what they say.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [model, file, adapter] = process.argv.slice(2);
if (!file) {
  console.error("usage: llama_cpp.mjs MODEL.gguf TEXT_FILE [ADAPTER.gguf]");
  process.exit(2);
}

let library;
try {
  // Wherever the command is run, the package is looked for there.
  const resolve = createRequire(pathToFileURL(`${process.cwd()}/`)).resolve;
  library = await import(pathToFileURL(resolve("node-llama-cpp")));
} catch (error) {
  console.error(`llama.cpp is not there, nothing was compared: npm install node-llama-cpp --ignore-scripts (${error.message})`);
  process.exit(3);
}

const llama = await library.getLlama({ gpu: false, build: "never", maxThreads: 2, logLevel: "error" });
const loaded = await llama.loadModel({ modelPath: model });
const context = await loaded.createContext({
  contextSize: 1024,
  lora: adapter ? { adapters: [{ filePath: adapter }] } : undefined,
});
const sequence = context.getSequence();
const tokens = loaded.tokenize(readFileSync(file, "utf8").replace(/\n$/, ""));
const asked = tokens.map((token) => [token, { generateNext: { probabilities: true } }]);
const answers = await sequence.controlledEvaluate(asked);
const learnt = [...tokens.slice(1), loaded.tokens.eos];
const nats = learnt.map((token, at) => -Math.log(answers[at].next.probabilities.get(token)));

const greedy = [];
let next = [...answers.at(-1).next.probabilities.entries()].reduce((a, b) => (a[1] >= b[1] ? a : b))[0];
while (greedy.length < 16) {
  greedy.push(next);
  const [answer] = await sequence.controlledEvaluate([[next, { generateNext: { probabilities: true } }]]);
  next = [...answer.next.probabilities.entries()].reduce((a, b) => (a[1] >= b[1] ? a : b))[0];
}
const mean = nats.reduce((sum, value) => sum + value, 0) / nats.length;
console.log(JSON.stringify({ tokens, nats, mean, greedy, text: loaded.detokenize(greedy) }));
process.exit(0);
