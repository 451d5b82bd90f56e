// A tiny model and tiny data on disk, and what runs leave there.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::test {

// A BERT of 2 layers and hidden size 32 with random weights and a vocabulary of a few hundred words, as a Hugging Face folder; or a
// relative ("distilbert", "electra") with the same vocabulary.
void write_tiny_model(const std::filesystem::path& folder, const std::string& model_type = "bert");

// `rows` rows "text,label" with texts of 3 to 40 words of that vocabulary; the label (negative or positive) can be learned from
// the words.
void write_tiny_reviews(const std::filesystem::path& csv, int rows, unsigned seed = 1);

// Questions as SQuAD 2.0 has them, `count` of them, about contexts of 5 to 90 of those words, some of them with a letter of
// several bytes. The question is a word; the answer are the two words behind it; of every fourth question there is none.
void write_tiny_questions(const std::filesystem::path& json, int count, unsigned seed = 1);

// `count` rows sent1, sent2, ending0 …, label, with `choices` endings: the right one is the word of the text; every text is a word twice.
void write_tiny_choices(const std::filesystem::path& csv, int count, int choices, unsigned seed = 1);

std::vector<nlohmann::json> read_jsonl(const std::filesystem::path& path);
// The "loss" of each record of a metrics.jsonl that has one, by step.
std::map<int64_t, double> losses(const std::filesystem::path& run);

}  // namespace berth::test
