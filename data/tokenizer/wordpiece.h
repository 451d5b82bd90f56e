// WordPiece: a word is cut, from its left, into the longest pieces that the vocabulary holds ("##" marks all but the first).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::data {

// One piece of a word: the bytes [begin, end).
struct Piece {
  int32_t id;
  uint32_t begin, end;
};

// The vocabulary as a trie in a double array: the child of node n by byte b is n's base + b, if that unit names n as its parent.
class WordPiece {
 public:
  static constexpr uint32_t kMaxCharacters = 100;  // longer words are unknown

  explicit WordPiece(const std::vector<std::string>& tokens);

  // Calls emit(Piece) for each piece. Returns false, after any number of calls, if the word cannot be cut or is too long.
  template <class Emit>
  bool cut(std::string_view word, Emit&& emit) const {
    if (word.size() > kMaxCharacters && count_characters(word) > kMaxCharacters) return false;
    const uint32_t size = static_cast<uint32_t>(word.size());
    int32_t start = 0;
    for (uint32_t begin = 0; begin < size; start = continuation_) {
      Piece piece{-1, begin, begin};
      int32_t node = start;
      for (uint32_t i = begin; i < size; ++i) {
        const int32_t next = units_[node].base + static_cast<unsigned char>(word[i]);
        if (units_[next].parent != node) break;
        node = next;
        if (units_[node].id >= 0) piece = {units_[node].id, begin, i + 1};
      }
      if (piece.id < 0) return false;
      emit(piece);
      begin = piece.end;
    }
    return true;
  }

 private:
  struct Unit {
    int32_t base = 0, parent = -1, id = -1;
  };
  int32_t child(int32_t node, char byte) const;  // a node without children if there is none
  int32_t find_base(std::string_view bytes, size_t& from);
  static size_t count_characters(std::string_view word);

  std::vector<Unit> units_;  // units_[0] is the root
  int32_t continuation_;     // where "##" leads
};

}  // namespace berth::data
