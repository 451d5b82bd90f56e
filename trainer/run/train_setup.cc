#include "trainer/run/train_setup.h"

#include <unistd.h>

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <cmath>
#include <fstream>
#include <functional>
#include <numeric>

#include "data/check.h"
#include "data/store/folds.h"
#include "data/words.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/comm/agree.h"
#include "trainer/model/device_memory.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/run/fixed_options.h"
#include "trainer/use/load_model.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

void open_data(TrainSetup& setup, const TrainOptions& options, comm::Communicator& comm) {
  comm::agree(comm, [&] {
    setup.dataset = data::Dataset::open(options.data);
    find_task(setup.dataset->info().task).check_options(options.predictions, setup.dataset->info().label_names);
    const bool evaluates = options.eval_save.eval_strategy != Strategy::kNo || options.eval_save.eval_on_start;
    if (options.fold) {
      data::FoldSplits splits = data::open_fold(*setup.dataset, *options.fold);
      setup.train = std::move(splits.others);
      if (evaluates) setup.validation = std::move(splits.fold);
      return;
    }
    setup.train = setup.dataset->split("train");
    if (!evaluates) return;
    const std::string_view hint = setup.dataset->info().folds > 0 ? "give a --fold, or prepare" : "prepare";
    check(setup.dataset->has_split("validation"), options.data.string(),
          ": has no validation split, but --eval-strategy or --eval-on-start asks for evaluations: ", hint,
          " it with --validation-file or --validation-split");
    setup.validation = setup.dataset->split("validation");
  });
  setup.weights_asked = read_label_weights(options, setup.dataset->info(), comm);
}

// The folder of the weights to start from: the checkpoint's, or the pretrained model's.
void choose_model_folder(TrainSetup& setup, const ResumePoint& point, const TrainOptions& options, comm::Communicator& comm) {
  std::string folder = point.folder.string();
  if (folder.empty()) {
    comm::agree_on_root(comm, [&] { folder = resolve_model(options.model).string(); });
    comm.broadcast(folder, 0);
  }
  setup.model_folder = folder;
}

// The options that `state` began with.
nlohmann::ordered_json began_with(const RunState& state) {
  return state.fixed_options.is_null() ? fixed_options(state.horizon) : state.fixed_options;
}

// Whether the run was complete before, with as many steps as the options ask for now; its state is then all there is.
bool is_complete(TrainSetup& setup, const ResumePoint& point, const TrainOptions& options, comm::Communicator& comm) {
  if (!point.finished || !point.finished->complete) return false;
  bool as_long = false;
  comm::agree(comm, [&] {
    const RunState& end = *point.finished;
    TrainOptions same_batch = options;
    same_batch.batch.global_batch_size = 0;
    const Horizon now = RunPlan::make(same_batch, setup.train->size(), comm.size(), &end.horizon, end.global_step).horizon;
    as_long = now.total_steps == end.horizon.total_steps;
    if (as_long)
      check_fixed_options(began_with(end), fixed_options(options, now, setup.dataset->info(), setup.weights_asked, nullptr),
                          options.allow_change, options.output_dir.string());
  });
  if (!as_long) return false;
  setup.state = *point.finished;
  if (comm.rank() == 0)
    BOOST_LOG_TRIVIAL(info) << "the run in " << options.output_dir.string() << " is complete ("
                            << counted(setup.state.global_step, "step")
                            << "): nothing to do; --overwrite-output-dir starts afresh";
  return true;
}

// The plan, and the state to go on from.
void plan_run(TrainSetup& setup, const ResumePoint& point, const TrainOptions& options, comm::Communicator& comm) {
  comm::agree(comm, [&] {
    if (point.state) setup.state = *point.state;
    setup.resumed = point.state.has_value();
    setup.plan = RunPlan::make(options, setup.train->size(), comm.size(), setup.resumed ? &setup.state.horizon : nullptr,
                               setup.state.global_step);
  });
}

// What --class-weights, --pos-weight and --weighted-sampling mean for the samples of the run.
void weigh_labels(TrainSetup& setup, const TrainOptions& options, comm::Communicator& comm) {
  const int64_t samples = setup.plan.horizon.num_samples;
  setup.label_weights = count_label_weights(setup.weights_asked, setup.dataset->info(), *setup.train, samples, comm);
  if (!options.batch.weighted_sampling) return;
  comm::agree(comm, [&] { setup.draws = balanced_draws(*setup.train, samples, setup.plan.horizon.data_seed); });
}

void tell_global_batch(const Horizon& now, const Horizon& before) {
  const int64_t step = now.start.step, left = now.total_steps - step;
  BOOST_LOG_TRIVIAL(info) << "--global-batch-size: " << counted(now.global_batch, "sample") << " a step from step " << step
                          << " on, " << before.global_batch << " until there: " << counted(now.total_steps, "step")
                          << " in all instead of " << before.total_steps << "; the " << left
                          << " that are left take the learning rate evenly to the end of its schedule";
}

// Keeps what the run is made with in its state; a run that goes on must be made with what it began with.
void fix_options(TrainSetup& setup, const BertConfig& config, const TrainOptions& options, comm::Communicator& comm) {
  const nlohmann::ordered_json now =
      fixed_options(options, setup.plan.horizon, setup.dataset->info(), setup.weights_asked, &config);
  if (setup.resumed) {
    nlohmann::ordered_json began = began_with(setup.state);
    // With another global batch the same epochs are another number of steps.
    const bool other_batch = setup.plan.horizon.global_batch != setup.state.horizon.global_batch;
    if (other_batch) began["max_steps"] = now["max_steps"];
    comm::agree(comm, [&] { check_fixed_options(began, now, options.allow_change, setup.model_folder.string()); });
    if (other_batch && comm.rank() == 0) tell_global_batch(setup.plan.horizon, setup.state.horizon);
  }
  setup.state.horizon = setup.plan.horizon;
  setup.state.fixed_options = now;
}

// The tokenizer that is saved with the model treats letters as the training texts were treated.
void keep_letter_case(TrainSetup& setup, comm::Communicator& comm) {
  const std::optional<bool> lower = setup.dataset->info().do_lower_case;
  if (comm.rank() != 0 || !lower || *lower == setup.tokenizer->options().do_lower_case) return;
  setup.tokenizer = setup.tokenizer->with_lower_case(*lower);
  BOOST_LOG_TRIVIAL(info) << "the data set was prepared " << (*lower ? "with" : "without")
                          << " lower-casing, other than the tokenizer in " << setup.model_folder.string()
                          << " says: the trained model's tokenizer does as the data set";
}

// What becomes of long texts; `own`: the model's way, if it has one.
std::optional<DocumentWindows> windows_of(const data::DatasetInfo& info, const std::optional<DocumentPooling>& asked,
                                          const std::optional<DocumentWindows>& own) {
  check_usage(info.doc_stride || !asked, "--document-pooling is for long texts in windows: prepare the data with --doc-stride");
  if (!info.doc_stride) return std::nullopt;
  return DocumentWindows{.max_length = info.max_length,
                         .doc_stride = *info.doc_stride,
                         .pooling = asked.value_or(own.value_or(DocumentWindows{}).pooling)};
}

// The head that the options ask for, else the config's, as far as the task has it.
CustomHead choose_head(CustomHead head, const ModelOptions& options, data::TaskKind task) {
  const bool of_texts = data::task_info(task).labels_texts(),
             of_tokens = data::task_info(task).labels == data::LabelShape::kTokenClass;
  if (!of_texts && !of_tokens) head = {};
  if (!of_texts) head.pooling = TextPooling::kPooler;
  check_usage(of_texts || !options.pooling, "--pooling is for the classification and regression of texts, not for ",
              data::task_info(task).name);
  check_usage(of_texts || of_tokens || !options.head_hidden_sizes,
              "--head-hidden-sizes is for classification and regression, not for ", data::task_info(task).name);
  if (options.head_hidden_sizes) head.hidden_sizes = *options.head_hidden_sizes;
  if (options.pooling) head.pooling = *options.pooling;
  check_usage(
      !head.hidden_sizes.empty() || (!options.head_dropout && !options.head_activation),
      "--head-dropout and --head-activation are of the hidden layers that --head-hidden-sizes gives the head: there are none");
  if (options.head_dropout) head.dropout = *options.head_dropout;
  if (options.head_activation) head.activation = *options.head_activation;
  return head;
}

BertConfig load_config(TrainSetup& setup, const TrainOptions& options, comm::Communicator& comm) {
  std::string text;
  BertConfig config;
  const std::string origin = (setup.model_folder / "config.json").string();
  comm::agree_on_root(comm, [&] { text = data::read_file(origin); });
  comm.broadcast(text, 0);
  comm::agree(comm, [&] { config = BertConfig::parse(text, origin); });
  setup.tokenizer = share_tokenizer(setup.model_folder, comm);
  comm::agree_on_root(comm, [&] {
    const data::DatasetInfo& info = setup.dataset->info();
    check(setup.tokenizer->vocab().sha256() == info.vocab_sha256, options.data.string(),
          ": was prepared with another vocabulary (", info.vocab_size, " tokens) than the model's in ",
          setup.model_folder.string(), " (", setup.tokenizer->vocab().size(),
          " tokens): run berth prepare again with --tokenizer ", setup.model_folder.string());
  });
  keep_letter_case(setup, comm);
  const ModelOptions& o = options.model_options;
  if (o.hidden_dropout_prob) config.hidden_dropout_prob = *o.hidden_dropout_prob;
  if (o.attention_probs_dropout_prob) config.attention_probs_dropout_prob = *o.attention_probs_dropout_prob;
  if (o.classifier_dropout) config.classifier_dropout = *o.classifier_dropout;
  const data::DatasetInfo& info = setup.dataset->info();
  comm::agree(comm, [&] {
    check(info.vocab_size <= config.vocab_size, origin, ": vocab_size ", config.vocab_size, " is smaller than the vocabulary of ",
          info.vocab_size, " tokens");
    check(info.max_length <= config.max_position_embeddings, options.data.string(), ": holds texts of up to ", info.max_length,
          " tokens, the model has ", config.max_position_embeddings, " positions: prepare it again with --max-length ",
          config.max_position_embeddings);
    find_task(info.task).configure(config, info.label_names);
    config.normalize = info.normalize;
    config.head = choose_head(config.head, o, info.task);
    check_has_class(config, info.task, origin);
    config.windows = windows_of(info, o.document_pooling, config.windows);
    config.text_pairs = pairs_of(*setup.train, info.task);
    config.max_length = info.max_length;
  });
  return config;
}

// Of the parameters' values.
double bytes_of(const std::vector<ParameterSpec>& specs) {
  double bytes = 0;
  for (const ParameterSpec& spec : specs)
    bytes += std::accumulate(spec.shape.begin(), spec.shape.end(), double{sizeof(float)}, std::multiplies<>());
  return bytes;
}

// A model without files to compare its sizes with; the weights alone must fit, where gradients and moments take three times as much.
void check_memory(const std::vector<ParameterSpec>& specs, const std::string& origin) {
  const double bytes = bytes_of(specs);
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  check(bytes <= memory, origin, ": describes a model of ", std::ceil(bytes / 1e9), " GB, this machine has ",
        std::floor(memory / 1e9), " GB of memory");
}

// --zero auto: where it costs nothing, or where values, gradients and moments on each rank would take more than half of the smallest GPU's
// memory. It goes by the sizes of model and GPU alone, as if nothing was frozen, so that a job and its successor do the same.
ParameterStore::Updates updates_of(const TrainOptions& options, const std::vector<ParameterSpec>& specs,
                                   comm::Communicator& comm) {
  bool shared = options.zero == Zero::kOn;
  // Of two hosts with a rank each either then sends its half of the gradients and then of the values: no more than otherwise, for half of the updates.
  if (options.zero == Zero::kAuto && comm.device().is_cpu()) shared = comm.size() == 2 && comm.sharers().most == 1;
  if (options.zero == Zero::kAuto && comm.size() > 1 && !comm.device().is_cpu()) {
    int64_t least = -device_memory(comm.device()).total;
    comm.all_reduce_max(std::span<int64_t>(&least, 1));
    const int copies = options.optimizer.ema_decay > 0 ? 5 : 4;
    shared = copies * bytes_of(specs) > 0.5 * static_cast<double>(-least);
  }
  if (comm.size() == 1) shared = false;
  return shared ? ParameterStore::Updates::kAmongAll : ParameterStore::Updates::kOnEachHost;
}

void make_model(TrainSetup& setup, const BertConfig& config, const TrainOptions& options, comm::Communicator& comm) {
  const data::TaskKind task = setup.dataset->info().task;
  const bool from_files = !options.from_scratch || setup.resumed;
  PretrainedOptions taking{.family = config.family->class_prefix,
                           .allow_new_head = !setup.resumed,
                           .ignore_mismatched_sizes = options.model_options.ignore_mismatched_sizes,
                           .with_digests = true};
  const std::vector<ParameterSpec> specs = architecture_of(task).parameters(config, true);
  if (from_files)
    check_pretrained(setup.model_folder, specs, comm, taking);
  else
    comm::agree(comm, [&] { check_memory(specs, (setup.model_folder / "config.json").string()); });
  setup.model = std::make_unique<ModelInstance>(config, task, comm, static_cast<int64_t>(options.ddp_bucket_cap_mb * (1 << 20)),
                                                options.model_options.freeze, updates_of(options, specs, comm));
  if (comm.rank() == 0 && setup.model->parameters().is_cut_among_all())
    BOOST_LOG_TRIVIAL(info) << "the optimizer's moments are shared among the " << comm.size() << " ranks (--zero)";
  else if (comm.rank() == 0 && setup.model->parameters().is_cut() && options.zero == Zero::kOn)
    BOOST_LOG_TRIVIAL(info) << "the optimizer's moments are shared among the ranks of a host, as without --zero";
  setup.model->set_loss({.label_smoothing = options.model_options.label_smoothing_factor,
                         .label_weights = {setup.label_weights.begin(), setup.label_weights.end()}});
  if (!from_files) {
    setup.model->initialize(options.seed);
    return;
  }
  taking.initialize = [&](const std::string& parameter) { setup.model->initialize(options.seed, parameter); };
  const PretrainedReport report = load_pretrained(setup.model_folder, setup.model->parameters(), comm, taking);
  setup.model_sha256 = report.sha256;
  if (comm.rank() != 0 || setup.resumed) return;
  if (!report.missing.empty())
    BOOST_LOG_TRIVIAL(info) << "not in the model's files, newly initialised: " << joined(report.missing);
  if (!report.unexpected.empty()) BOOST_LOG_TRIVIAL(info) << "in the model's files, not used: " << joined(report.unexpected);
}

// `averaged`: the checkpoint's model is an average, beside which the weights that training goes on with are kept.
void make_optimizer(TrainSetup& setup, bool averaged, const TrainOptions& options, comm::Communicator& comm) {
  comm.set_stage("start: loading the optimizer's state");
  setup.optimizer = std::make_unique<AdamW>(setup.model->parameters(), options.optimizer);
  if (!setup.resumed) return;
  const auto fill = [&](AdamW::State state) {
    if (averaged && options.optimizer.ema_decay == 0)  // no averages any more: the values become the weights at once
      for (const Parameter& parameter : setup.model->parameters().parameters())
        if (!parameter.frozen) state.emplace_back("weight." + parameter.name, parameter.value.variable_data());
    load_named_tensors(setup.model_folder / kOptimizerFile, state, comm);
  };
  setup.optimizer->fill_state(fill, averaged);
  if (averaged) setup.optimizer->swap_averages();
  setup.optimizer->restored(setup.state.optimizer_steps);
}

void start_precision(TrainSetup& setup, const PrecisionOptions& precision) {
  if (compute_type(precision) != at::kFloat) setup.model->parameters().enable_compute_copy(compute_type(precision));
  std::optional<LossScale>& scale = setup.state.loss_scale;
  if (!precision.fp16)
    scale.reset();
  else
    setup.optimizer->scale_loss(scale ? *scale : scale.emplace(kFirstLossScale));
}

}  // namespace

TrainSetup set_up(const TrainOptions& options, const RunFolder* folder, comm::Communicator& comm) {
  TrainSetup setup;
  comm.set_stage("start: opening the data set");
  open_data(setup, options, comm);
  const ResumePoint point = folder ? folder->find_resume_point(options, comm) : ResumePoint();
  if (is_complete(setup, point, options, comm)) return setup;
  plan_run(setup, point, options, comm);
  weigh_labels(setup, options, comm);
  comm.set_stage("start: loading the model");
  choose_model_folder(setup, point, options, comm);
  const BertConfig config = load_config(setup, options, comm);
  const nlohmann::ordered_json ema_decay = began_with(setup.state).value("ema_decay", nlohmann::ordered_json(0));
  const bool averaged = setup.resumed && ema_decay.is_number() && ema_decay > 0;
  fix_options(setup, config, options, comm);
  with_memory_for([&] { return concat("the model of ", config.num_hidden_layers, " layers with gradients and moments"); },
                  [] { return "fewer layers take less (--freeze), another GPU may have more"; },
                  [&] {
                    make_model(setup, config, options, comm);
                    make_optimizer(setup, averaged, options, comm);
                    start_precision(setup, options.model_options.precision);
                  });
  return setup;
}

}  // namespace berth::train
