#include "trainer/check/measure/run_check.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/check/measure/measured.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/checkpoint/model_weights.h"
#include "trainer/comm/agree.h"
#include "trainer/run/environment.h"
#include "trainer/run/introduction.h"
#include "trainer/run/micro_batch.h"
#include "trainer/run/time_limit.h"
#include "trainer/run/train_setup.h"
#include "trainer/scale/measure/measure.h"
#include "trainer/use/load_model.h"

namespace berth::preflight {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using train::Strategy;

constexpr double kLinkPatience = 1;         // seconds for each size of an all-reduce
constexpr int64_t kLinkMemory = 256 << 20;  // bytes that all-reduces may take of a GPU
constexpr size_t kMostNamed = 8;            // labels

class RunCheck {
 public:
  RunCheck(train::TrainOptions options, const std::vector<RankFacts>& ranks, const RunCheckOptions& check,
           comm::Communicator& comm, Findings& findings)
      : options_(std::move(options)), ranks_(ranks), check_(check), comm_(comm), findings_(findings) {}

  void run();

 private:
  // Whether `work` ended without an AgreedError; one is a finding, once.
  template <class Work>
  bool attempt(const std::string& name, const Work& work) {
    try {
      work();
      return true;
    } catch (const comm::AgreedError& error) {
      const bool known =
          std::any_of(findings_.begin(), findings_.end(), [&](const auto& it) { return it.found == error.what(); });
      if (!known) findings_.push_back({.level = Level::kError, .name = name, .found = error.what()});
      return false;
    }
  }
  void look_at_folder();
  bool may_load();
  bool set_up();
  void introduce();
  Finding judge_head();
  void measure();
  void measure_links();
  void look_at_disk();
  void judge_run_time(double step, double evaluation);
  double checkpoint_bytes(bool whole) const;
  double parameter_bytes() const;
  // Of what is due every so many steps, how often in what is left of the run.
  int64_t times(int64_t interval) const;
  int64_t evaluations() const;
  int64_t interval(Strategy strategy, int64_t steps) const;

  train::TrainOptions options_;
  const std::vector<RankFacts>& ranks_;
  const RunCheckOptions& check_;
  comm::Communicator& comm_;
  Findings& findings_;
  std::optional<train::RunFolder> folder_;
  std::optional<train::TrainSetup> setup_;
  double start_ = 0;  // seconds that setting up took
};

void RunCheck::look_at_folder() {
  const std::string name = "folder", path = options_.output_dir.string();
  const bool there = attempt(name, [&] {
    folder_.emplace(options_, comm_, train::RunFolder::Use::kLook);
    comm::agree_on_root(comm_, [&] {
      if (check_.check_folder) check_.check_folder();
    });
  });
  if (!there) return;
  if (!folder_->waits_for().empty())
    findings_.push_back(
        {.level = Level::kWarning, .name = name, .found = folder_->waits_for(), .remedy = "end the other job if it still runs"});
  else
    findings_.push_back(
        {.name = name, .found = concat(path, fs::exists(options_.output_dir) ? " can be written" : " can be made")});
}

// Not where hosts would have to swap, or kill.
bool RunCheck::may_load() {
  std::string problem;
  attempt("model", [&] {
    comm::agree_on_root(comm_, [&] {
      if (options_.from_scratch) return;  // its config.json alone says how large it is: set_up compares that
      const fs::path folder = train::resolve_model(options_.model);
      const train::BertConfig config = train::load_config(folder);
      const auto weights = train::ModelWeights::open(folder, config.family->class_prefix);
      double bytes = 0;
      for (const auto& [name, entry] : weights.tensors())
        if (!entry.redundant) bytes += sizeof(float) * static_cast<double>(train::element_count(entry.tensor->shape).value_or(0));
      const bool gpus = !ranks_[0].gpu.empty();  // their memory is looked at with the model in it
      // Values alone, where some or all of the rest is frozen or shared.
      const bool shares = comm_.sharers().most > 1;
      const double copies = !options_.model_options.freeze.empty() || (options_.zero == train::Zero::kOn && !shares) ? 2 : 4;
      for (const std::string& host : hosts_of(ranks_)) {
        const auto on_host = [&](const RankFacts& rank) { return rank.host == host; };
        const auto number = std::count_if(ranks_.begin(), ranks_.end(), on_host);
        const auto first = std::find_if(ranks_.begin(), ranks_.end(), on_host);
        if (gpus) continue;
        // Ranks that share memory have gradients of their own alone.
        const double shared = shares ? (copies - 1) * bytes : 0;
        if (const auto finding = judge_loading(shared, copies * bytes - shared, static_cast<int>(number), first->memory, host)) {
          findings_.push_back(*finding);
          problem = finding->found;
        }
      }
    });
  });
  comm_.broadcast(problem, 0);
  return problem.empty();
}

bool RunCheck::set_up() {
  const auto began = Clock::now();
  const train::RunFolder* folder = folder_ ? &*folder_ : nullptr;
  if (!check_.gpu_problem.empty()) options_.model_options.precision = {};
  const bool precise = attempt("precision", [&] { train::set_precision(options_.model_options.precision, comm_); });
  if (!precise) options_.model_options.precision = {};
  const auto try_to = [&] { return attempt("run", [&] { setup_.emplace(train::set_up(options_, folder, comm_)); }); };
  bool done = try_to();
  if (!done && (options_.eval_save.eval_strategy != Strategy::kNo || options_.eval_save.eval_on_start)) {
    // What else is wrong, where evaluations are.
    options_.eval_save.eval_strategy = Strategy::kNo;
    options_.eval_save.eval_on_start = options_.eval_save.load_best_model_at_end = false;
    done = try_to();
  }
  start_ = std::chrono::duration<double>(Clock::now() - began).count();
  return done;
}

void RunCheck::introduce() {
  train::TrainSetup& setup = *setup_;
  setup.state.environment =
      train::describe_environment(comm_, setup.model->parameters().is_cut_among_all(), setup.state.environment);
  setup.state.train_batch_size = options_.batch.per_device_train_batch_size;
  const std::vector<std::string> lines = train::introduction(options_, setup);
  for (size_t i = 1; i < lines.size(); ++i) findings_.push_back({.name = i == 1 ? "model" : "run", .found = lines[i]});
  findings_.push_back({.name = "vocabulary",
                       .found = concat("the ", setup.dataset->info().vocab_size, " tokens of the data set are the model's")});
  attempt("head", [&] { findings_.push_back(judge_head()); });
  if (const std::string told = train::warm_up_warning(setup.state.horizon, options_.optimizer.learning_rate); !told.empty())
    findings_.push_back({.level = Level::kWarning, .name = "run", .found = told});
}

// Whether what the model's head has learned are the data set's labels.
Finding RunCheck::judge_head() {
  constexpr const char* kName = "head";
  const std::vector<std::string>& labels = setup_->dataset->info().label_names;
  train::BertConfig own;
  bool trained = false;
  comm::agree_on_root(comm_, [&] {
    own = train::load_config(setup_->model_folder);
    const auto json = data::parse_json<nlohmann::ordered_json>(own.original_json, "config.json");
    const std::string asked = setup_->model->config().class_name(setup_->model->architecture().name);
    const auto classes = json.value("architectures", nlohmann::ordered_json::array());
    trained = classes.is_array() && std::find(classes.begin(), classes.end(), asked) != classes.end();
  });
  if (labels.empty()) return {.name = kName, .found = concat("of ", data::task_info(setup_->dataset->info().task).name)};
  if ((options_.from_scratch && !setup_->resumed) || !trained || own.label_names.size() != labels.size())
    return {.name = kName, .found = concat("a new one, of ", counted(labels.size(), "label"))};
  if (own.label_names == labels)
    return {.name = kName, .found = concat("the model's, of the same ", counted(labels.size(), "label"))};
  const bool named = own.label_names[0] != "LABEL_0";
  return {.level = named ? Level::kWarning : Level::kOk,
          .name = kName,
          .found = concat("the model's head has learned ", listed(own.label_names, kMostNamed), " where the data set has ",
                          listed(labels, kMostNamed)),
          .remedy = named ? concat("if they mean the same: berth prepare --label-names ", joined(own.label_names, ",")) : ""};
}

double RunCheck::parameter_bytes() const {
  double bytes = 0;
  for (const train::Parameter& parameter : setup_->model->parameters().parameters())
    bytes += static_cast<double>(parameter.value.nbytes());
  return bytes;
}

// As Saving has it: with two moments, and what averages are made of.
double RunCheck::checkpoint_bytes(bool whole) const {
  return parameter_bytes() * (!whole ? 1 : options_.optimizer.ema_decay > 0 ? 4 : 3);
}

int64_t RunCheck::times(int64_t interval) const {
  const int64_t total = setup_->plan.horizon.total_steps, done = setup_->state.global_step;
  return interval <= 0 ? 0 : total / interval - done / interval + (total % interval != 0);
}

int64_t RunCheck::interval(Strategy strategy, int64_t steps) const {
  return strategy == Strategy::kSteps   ? steps
         : strategy == Strategy::kEpoch ? setup_->plan.horizon.sampler().steps_per_epoch()
                                        : 0;
}

int64_t RunCheck::evaluations() const {
  const train::EvalSaveOptions& o = options_.eval_save;
  return times(interval(o.eval_strategy, setup_->plan.eval_steps)) + (o.eval_on_start && setup_->state.global_step == 0);
}

void RunCheck::measure() {
  MemoryFacts memory;
  double bytes = 0, step = 0, evaluation = 0;
  PassTime pass;
  const bool measured = attempt("memory", [&] {
    if (options_.batch.auto_find_batch_size) {
      options_.batch.per_device_train_batch_size = train::find_micro_batch(*setup_, options_, comm_);
      options_.batch.global_batch_size = setup_->plan.horizon.global_batch;
    }
    pass = pass_largest(options_, *setup_, comm_, memory, bytes);
  });
  if (measured && memory.fits) {
    attempt("steps", [&] {
      const StepTime time = time_steps(options_, *setup_, pass, comm_);
      step = time.seconds;
      if (!time.not_finite.empty())
        findings_.push_back({.level = Level::kError,
                             .name = "steps",
                             .found = concat("the first step is not finite: ", time.not_finite),
                             .remedy = "are the model's weights whole? in half precision, --bf16 for --fp16"});
    });
    if (setup_->validation && evaluations() > 0)
      attempt("evaluation", [&] { evaluation = time_evaluation(options_, *setup_, pass, comm_); });
    look_at_memory(ranks_, comm_, bytes, memory);
  }
  memory.copy = checkpoint_bytes(true);
  if (measured) findings_.push_back(judge_memory(memory));
  measure_links();
  look_at_disk();
  judge_run_time(step, evaluation);
}

void RunCheck::measure_links() {
  LinkFacts facts{.ranks = comm_.size(), .gpus = comm_.device().is_cuda(), .transport = comm_.description()};
  const std::vector<std::string> hosts = hosts_of(ranks_);
  facts.hosts = static_cast<int>(hosts.size());
  if (comm_.size() > 1) {
    comm_.set_stage("check: all-reduces");
    int64_t no_room = comm_.device().is_cuda() && train::room(comm_.device()) < kLinkMemory ? 1 : 0;
    comm_.all_reduce_max(std::span<int64_t>(&no_room, 1));
    if (no_room > 0) {
      findings_.push_back(unknown("communicator", "the memory of a GPU has no room for an all-reduce"));
      return;
    }
    const std::vector<scale::Timing> timings = scale::time_all_reduces(comm_, kLinkPatience);
    facts.latency = timings.front().seconds;
    facts.bytes = timings.back().bytes;
    facts.seconds = timings.back().seconds;
  }
  if (setup_)
    for (const train::Bucket& bucket : setup_->model->parameters().buckets())
      if (!bucket.frozen) facts.gradient_bytes += static_cast<double>(bucket.grads.nbytes());
  facts.link = ranks_[0].link;
  for (const RankFacts& rank : ranks_) {
    if (!facts.link || (rank.link && rank.link->bandwidth >= facts.link->bandwidth)) continue;
    facts.link = rank.link;
  }
  findings_.push_back(judge_links(facts));
}

void RunCheck::look_at_disk() {
  const train::EvalSaveOptions& o = options_.eval_save;
  int64_t saves = times(interval(o.save_strategy, setup_->plan.save_steps));
  if (o.load_best_model_at_end || o.save_strategy == Strategy::kBest) saves = std::max(saves, evaluations());
  const bool keeps_all = o.save_total_limit == 0;
  // One more than the limit while the newest is written, and the best one.
  if (!keeps_all) saves = std::min(saves, o.save_total_limit + 1 + o.load_best_model_at_end);
  std::optional<int64_t> left;
  fs::path there = fs::absolute(options_.output_dir);
  std::error_code none;
  while (!fs::exists(there, none) && there.has_relative_path()) there = there.parent_path();
  if (const fs::space_info space = fs::space(there, none); !none) left = static_cast<int64_t>(space.available);
  findings_.push_back(judge_disk({.folder = there.string(),
                                  .model = checkpoint_bytes(false),
                                  .checkpoint = checkpoint_bytes(!o.save_only_model),
                                  .checkpoints = saves,
                                  .keeps_all = keeps_all,
                                  .left = left}));
}

void RunCheck::judge_run_time(double step, double evaluation) {
  if (step == 0) {
    findings_.push_back(unknown("time", "no step could be measured"));
    return;
  }
  const train::EvalSaveOptions& o = options_.eval_save;
  const int64_t steps = setup_->plan.horizon.total_steps - setup_->state.global_step;
  int64_t first = interval(o.save_strategy, setup_->plan.save_steps);
  if (o.save_seconds > 0) {
    const auto by_time = static_cast<int64_t>(std::ceil(o.save_seconds / step));
    first = first == 0 ? by_time : std::min(first, by_time);
  }
  findings_.push_back(judge_time({.start = start_,
                                  .step = step,
                                  .evaluation = evaluation,
                                  .save = checkpoint_bytes(true) / train::kSlowDisk,
                                  .steps = steps,
                                  .evaluations = setup_->validation ? evaluations() : 0,
                                  .save_steps = first > steps ? 0 : first,
                                  .limit = check_.limit}));
}

void RunCheck::run() {
  comm_.set_stage("check: setting the run up");
  look_at_folder();
  if (may_load() && set_up()) {
    if (setup_->state.complete) {
      findings_.push_back({.name = "run",
                           .found = concat("the run in ", options_.output_dir.string(), " is complete (",
                                           counted(setup_->state.global_step, "step"), "): nothing to do")});
      return;
    }
    introduce();
    if (check_.gpu_problem.empty()) {
      measure();
      return;
    }
    look_at_disk();
  }
  if (check_.gpu_problem.empty()) measure_links();
  const std::string why = check_.gpu_problem.empty() ? "the run cannot be set up" : "the GPUs cannot be used";
  for (const char* name : {"communicator", "memory", "disk", "time"})
    if (std::none_of(findings_.begin(), findings_.end(), [&](const Finding& finding) { return finding.name == name; }))
      findings_.push_back(unknown(name, why));
}

}  // namespace

void check_run(train::TrainOptions options, const std::vector<RankFacts>& ranks, const RunCheckOptions& check,
               comm::Communicator& comm, Findings& findings) {
  RunCheck(std::move(options), ranks, check, comm, findings).run();
}

}  // namespace berth::preflight
