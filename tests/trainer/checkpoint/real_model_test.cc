// A real encoder through load_pretrained and save_pretrained and back, bit for bit.
//
//   real_model_test                  the model in BERTH_MODEL; exit code 77 if that is not set
//   real_model_test MODEL FOLDER     saves it as a classifier into FOLDER, for tests/golden/compare_saved_model.py
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "data/tokenizer/bert_tokenizer.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/model/heads.h"
#include "trainer/use/load_model.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

struct Classifier {
  explicit Classifier(const BertConfig& config, comm::Communicator& comm)
      : architecture(architecture_of(data::TaskKind::kSequenceClassification)),
        parameters(architecture.parameters(config, true), comm, int64_t{25} << 20) {
    parameters.initialize(architecture.parameters(config, true), config.initializer_range, 42);
  }
  const Architecture& architecture;
  ParameterStore parameters;
};

void print(const char* what, const std::vector<std::string>& names) {
  std::cout << what << ":";
  for (const std::string& name : names) std::cout << " " << name;
  std::cout << "\n";
}

void resave(const fs::path& model, const fs::path& folder) {
  const auto comm = comm::make_local_communicator();
  BertConfig config = load_config(model);
  if (config.label_names.empty()) config.label_names = {"Negative", "Positive"};
  Classifier first(config, *comm);
  const PretrainedReport report = load_pretrained(model, first.parameters, *comm, {.ignore_mismatched_sizes = true});
  print("missing", report.missing);
  print("unexpected", report.unexpected);
  const auto tokenizer = data::BertTokenizer::load(model);
  const auto write_tokenizer = [&](const fs::path& to) {
    return tokenizer.save(to, static_cast<int>(config.max_position_embeddings));
  };
  save_pretrained(folder, config, first.architecture.name, first.parameters, write_tokenizer);

  Classifier second(load_config(folder), *comm);
  load_pretrained(folder, second.parameters, *comm, {.allow_new_head = false});
  for (const Parameter& parameter : first.parameters.parameters()) {
    const at::Tensor &before = parameter.value, &after = second.parameters[parameter.name].value;
    const bool same = std::memcmp(before.const_data_ptr(), after.const_data_ptr(), before.nbytes()) == 0;
    check(same, parameter.name, " is not what was saved");
  }
  check(data::BertTokenizer::load(folder).vocab().sha256() == tokenizer.vocab().sha256(), "the vocabulary is not what was saved");
  std::cout << "equal: " << first.parameters.parameters().size() << " tensors\n";
}

int run(int argc, char** argv) {
  if (argc == 3) {
    resave(resolve_model(argv[1]), argv[2]);
    return 0;
  }
  const char* model = std::getenv("BERTH_MODEL");
  if (model == nullptr || *model == '\0') {
    std::cout << "not run: a real encoder through a load and a save (BERTH_MODEL is not set)\n";
    return 77;
  }
  const TempDir folder;
  resave(resolve_model(model), folder.path());
  return 0;
}

}  // namespace
}  // namespace berth::train

int main(int argc, char** argv) {
  try {
    return berth::train::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
