// For tests/golden/compare_tokenizer.py: tokenizes what it is sent, so that Python can compare.
//
// tokenizer_dump PATH [LOWER STRIP CHINESE [FOLDER]]
//        PATH as for BertTokenizer::load; with settings (0, 1, or - for unset) a vocab.txt; saves the tokenizer into FOLDER
// stdin: records of  u32 max_length, u32 size of A, u32 size of B plus one (0: no B), the bytes of A and B; little endian
// stdout: per record  u32 tokens, then per token  i32 id, u32 begin, u32 end, i32 word;
//         max_length 0: only A's tokens without [CLS] and [SEP]
#include <cstdio>
#include <cstring>
#include <string>

#include "data/tokenizer/bert_tokenizer.h"

namespace {

using namespace berth::data;

BertTokenizer make(int argc, char** argv) {
  if (argc == 2) return BertTokenizer::load(argv[1]);
  TokenizerOptions options;
  options.do_lower_case = *argv[2] == '1';
  if (*argv[3] != '-') options.strip_accents = *argv[3] == '1';
  options.tokenize_chinese_chars = *argv[4] == '1';
  return BertTokenizer(Vocab::load(argv[1]), options);
}

bool read(void* to, size_t size) { return std::fread(to, 1, size, stdin) == size; }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 5 && argc != 6) return 2;
  const BertTokenizer tokenizer = make(argc, argv);
  if (argc == 6) tokenizer.save(argv[5], 512);
  uint32_t header[3];
  while (read(header, sizeof header)) {
    std::string a(header[1], '\0'), b(header[2] > 0 ? header[2] - 1 : 0, '\0');
    if (!read(a.data(), a.size()) || !read(b.data(), b.size())) return 3;
    std::vector<Token> tokens;
    const int max_length = static_cast<int>(header[0]);
    if (max_length == 0) {
      tokenizer.tokenize(a, tokens);
    } else {
      tokens = (header[2] > 0 ? tokenizer.encode_pair(a, b, max_length) : tokenizer.encode(a, max_length)).tokens;
    }
    const auto count = static_cast<uint32_t>(tokens.size());
    std::fwrite(&count, sizeof count, 1, stdout);
    static_assert(sizeof(Token) == 16);
    std::fwrite(tokens.data(), sizeof(Token), tokens.size(), stdout);
  }
  return 0;
}
