// Throughput of the tokenizer: for tests/bench/tokenizer_bench.py, which runs it side by side with the Rust `tokenizers`.
//
// tokenizer_bench VOCAB TEXTS THREADS ROUNDS     lower-casing; TEXTS: one text per line, "\n" inside a text as U+001F
// stdout: per round a line  "tokens wall-seconds cpu-seconds"; a round encodes all texts and keeps all encodings
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "data/tokenizer/bert_tokenizer.h"

namespace {

using namespace berth::data;

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void encode_all(const BertTokenizer& tokenizer, const std::vector<std::string>& texts, int threads, std::vector<Encoding>& out) {
  constexpr size_t kChunk = 64;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t begin = next.fetch_add(kChunk); begin < texts.size(); begin = next.fetch_add(kChunk))
      for (size_t i = begin; i < std::min(begin + kChunk, texts.size()); ++i) out[i] = tokenizer.encode(texts[i], 1 << 30);
  };
  std::vector<std::jthread> workers;
  for (int t = 1; t < threads; ++t) workers.emplace_back(work);
  work();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const BertTokenizer tokenizer(Vocab::load(argv[1]), {});
  std::vector<std::string> texts;
  std::ifstream in(argv[2], std::ios::binary);
  for (std::string line; std::getline(in, line);) {
    for (char& c : line)
      if (c == '\x1f') c = '\n';
    texts.push_back(line);
  }
  const int threads = std::atoi(argv[3]), rounds = std::atoi(argv[4]);
  for (int round = 0; round < rounds; ++round) {
    std::vector<Encoding> encodings(texts.size());
    const auto start = std::chrono::steady_clock::now();
    const double cpu_start = cpu_seconds();
    encode_all(tokenizer, texts, threads, encodings);
    const double cpu = cpu_seconds() - cpu_start;
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    size_t tokens = 0;
    for (const Encoding& encoding : encodings) tokens += encoding.tokens.size();
    std::printf("%zu %.6f %.6f\n", tokens, wall.count(), cpu);
  }
  return 0;
}
