// The Python module pocketbert._native. Arrays are checked here for type and shape, in model.cpp and engine.cpp for
// what they hold; pocketbert.runtime.native turns ValueError into the library's own errors.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <stdexcept>
#include <thread>

#include "isa/cpu.h"
#include "engine/engine.h"
#include "engine/limit.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, size_t N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T, size_t N>
using Out = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Columns = std::tuple<int, int, int>;  // buffer, start, stop

int size(size_t n) {
  if (n > static_cast<size_t>(std::numeric_limits<int>::max())) throw std::invalid_argument("an array is too large");
  return static_cast<int>(n);
}

pb::Span span(const Columns& c) {
  const auto [buffer, start, stop] = c;
  if (start < 0 || stop <= start) throw std::invalid_argument("a span's columns must ascend from 0");
  return {buffer, start, stop - start};
}

void expect(size_t have, size_t want, const char* what) {
  if (have != want)
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(have) + " values; " +
                                std::to_string(want) + " are expected");
}

struct Weight {
  std::optional<In<float, 2>> values;
  std::optional<In<int8_t, 2>> bytes;
  std::optional<In<float, 1>> scale;
  std::optional<In<int64_t, 1>> outliers;
  std::optional<In<float, 2>> outlier_weight;

  pb::WeightView view() const {
    pb::WeightView w;
    if (values) {
      w.values = values->data();
      w.out = size(values->shape(0));
      w.in = size(values->shape(1));
      return w;
    }
    if (!bytes || !scale || !outliers || !outlier_weight) throw std::invalid_argument("a weight is incomplete");
    w.bytes = bytes->data();
    w.out = size(bytes->shape(0));
    w.in = size(bytes->shape(1));
    expect(scale->shape(0), bytes->shape(0), "a weight's scale");
    expect(outlier_weight->shape(0), bytes->shape(0), "the outlier columns");
    expect(outlier_weight->shape(1), outliers->shape(0), "an outlier row");
    w.scale = scale->data();
    w.outliers = outliers->data();
    w.outlier_weight = outlier_weight->data();
    w.outlier_count = size(outliers->shape(0));
    return w;
  }
};

struct Builder {
  explicit Builder(const std::string& path) : model(std::make_unique<pb::Model>(pb::choose_path(path))) {}

  pb::Model& open() {
    if (!model) throw std::invalid_argument("the model was built already");
    return *model;
  }

  void dense(bool branch, const Columns& source, const Columns& target, const Weight& weight, const In<float, 1>& bias,
             const std::string& activation, const std::optional<Columns>& residual,
             const std::optional<In<float, 1>>& carry, const std::optional<In<float, 1>>& norm_scale,
             const std::optional<In<float, 1>>& norm_bias, float eps) {
    pb::DenseView view;
    view.source = span(source);
    view.target = span(target);
    view.weight = weight.view();
    const auto out = static_cast<size_t>(view.weight.out);
    expect(bias.shape(0), out, "a bias");
    view.bias = bias.data();
    view.activation = activation;
    if (residual) view.residual = span(*residual);
    if (carry) {
      expect(carry->shape(0), out, "a carry");
      view.carry = carry->data();
    }
    if (norm_scale) {
      if (!norm_bias) throw std::invalid_argument("a norm has no bias");
      expect(norm_scale->shape(0), out, "a norm's scale");
      expect(norm_bias->shape(0), out, "a norm's bias");
      view.norm_scale = norm_scale->data();
      view.norm_bias = norm_bias->data();
      view.eps = eps;
    }
    if (branch)
      open().add_branch_dense(view);
    else
      open().add_dense(view);
  }

  void embeddings(const std::variant<In<float, 2>, Weight>& words, const In<float, 2>& positions,
                  const std::optional<In<float, 2>>& types, bool trigram, int gathered,
                  const std::optional<In<float, 1>>& norm_scale, const std::optional<In<float, 1>>& norm_bias,
                  float eps) {
    pb::Model& m = open();
    if (m.widths.empty()) throw std::invalid_argument("the stream's buffer comes first");
    const auto width = static_cast<size_t>(m.widths[0]);
    expect(positions.shape(1), width, "a row of the position table");
    pb::Embeddings e;
    const auto* floats = std::get_if<In<float, 2>>(&words);
    const Weight kept = floats ? Weight{*floats, {}, {}, {}, {}} : std::get<Weight>(words);
    const pb::WeightView table = kept.view();
    if (table.outlier_count) throw std::invalid_argument("a word table has no outlier columns");
    e.words = table.values;
    e.word_bytes = table.bytes;
    e.word_scale = table.scale;
    e.vocabulary = table.out;
    e.word_width = table.in;
    e.positions = positions.data();
    e.most_tokens = size(positions.shape(0));
    if (types) {
      expect(types->shape(1), width, "a row of the token type table");
      e.types = types->data();
      e.kinds = size(types->shape(0));
    }
    e.trigram = trigram;
    e.gathered = gathered;
    if (norm_scale) {
      if (!norm_bias) throw std::invalid_argument("a norm has no bias");
      expect(norm_scale->shape(0), width, "a norm's scale");
      expect(norm_bias->shape(0), width, "a norm's bias");
    }
    // The tables stay Python's: these references keep them alive as long as the model.
    e.owner = std::make_shared<std::tuple<Weight, In<float, 2>, std::optional<In<float, 2>>>>(kept, positions, types);
    m.set_embeddings(std::move(e), norm_scale ? norm_scale->data() : nullptr, norm_bias ? norm_bias->data() : nullptr,
                     eps);
  }

  void attention(const Columns& query, const Columns& key, const Columns& value, const Columns& target, int heads) {
    open().add_attention({span(query), span(key), span(value), span(target), heads, 0});
  }

  void state(const In<float, 1>& scale, const In<float, 1>& shift) {
    pb::Model& m = open();
    if (m.widths.empty()) throw std::invalid_argument("the stream's buffer comes first");
    expect(scale.shape(0), static_cast<size_t>(m.widths[0]), "the state's scale");
    expect(shift.shape(0), static_cast<size_t>(m.widths[0]), "the state's shift");
    m.set_state(scale.data(), shift.data());
  }

  pb::Engine* finish() {
    open().finish();
    return new pb::Engine(std::move(model));
  }

  std::unique_ptr<pb::Model> model;
};

// Runs native code without Python's lock.
//
// Once the interpreter is being torn down, a daemon thread that asks for the lock back is ended by unwinding its stack,
// which C++ answers with abort(). So an exit hook waits for those that are about to ask, and later ones sleep until the
// process is gone.
class Unlocked {
 public:
  template <class Work>
  static void run(Work work) {
    std::exception_ptr error;
    PyThreadState* state = PyEval_SaveThread();
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
    asking.fetch_add(1);
    if (closing.load() && std::this_thread::get_id() != closer) {
      asking.fetch_sub(1);
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    PyEval_RestoreThread(state);
    asking.fetch_sub(1);
    if (error) std::rethrow_exception(error);
  }

  // Called at exit, by the thread that tears the interpreter down.
  static void close() {
    closer = std::this_thread::get_id();
    closing.store(true);
    const nb::gil_scoped_release release;
    while (asking.load() > 0) std::this_thread::yield();
  }

 private:
  static inline std::atomic<int> asking{0};  // threads between the check above and the lock
  static inline std::atomic<bool> closing{false};
  static inline std::thread::id closer;
};

void run(const pb::Engine& engine, const In<int64_t, 1>& ids, const std::optional<In<int64_t, 1>>& types,
         const In<int64_t, 1>& ends, int branch, const std::optional<In<int64_t, 1>>& rows, int threads,
         const Out<float, 2>& out) {
  if (types) expect(types->shape(0), ids.shape(0), "token_type_ids");
  if (ends.shape(0) < 2) throw std::invalid_argument("a batch needs at least one text");
  expect(out.shape(0), rows ? rows->shape(0) : ids.shape(0), "the result's rows");
  expect(out.shape(1), static_cast<size_t>(engine.model().result_width(branch)), "a row of the result");
  const pb::Batch batch{ids.data(), types ? types->data() : nullptr, ends.data(), static_cast<int64_t>(ids.shape(0)),
                        size(ends.shape(0)) - 1};
  // An empty array may have no address, so emptiness is passed on by a row pointer that is never read.
  static const int64_t kNone = 0;
  const pb::Wanted wanted{branch, !rows ? nullptr : rows->shape(0) ? rows->data() : &kNone,
                          static_cast<int64_t>(rows ? rows->shape(0) : 0)};
  float* result = out.data();
  Unlocked::run([&] { engine.run(batch, wanted, threads, result); });
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The native CPU engine; use pocketbert.runtime.";
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&Unlocked::close));
  m.def(
      "paths",
      [] {
        std::vector<std::string> names;
        for (const pb::Kernels* path : pb::available_paths()) names.emplace_back(path->name);
        return names;
      },
      "Names of the paths that this CPU can run, best first.");

  m.def(
      "int8_rate",
      [](const std::string& path, int rows, int in, int out) {
        const pb::Kernels& kernels = pb::choose_path(path);
        double rate = 0;
        Unlocked::run([&] { rate = pb::int8_rate(kernels, rows, in, out); });
        return rate;
      },
      "path"_a, "rows"_a, "columns"_a, "out"_a, "Operations a second of one thread in the int8 product alone.");

  nb::class_<Weight>(m, "Weight", "A weight (out, in): float32, or int8 with scales and float32 outlier columns.")
      .def_static(
          "floats", [](const In<float, 2>& values) { return Weight{values, {}, {}, {}, {}}; },
          "values"_a.noconvert())
      .def_static(
          "int8",
          [](const In<int8_t, 2>& values, const In<float, 1>& scale, const In<int64_t, 1>& outliers,
             const In<float, 2>& outlier_weight) { return Weight{{}, values, scale, outliers, outlier_weight}; },
          "values"_a.noconvert(), "scale"_a.noconvert(), "outliers"_a.noconvert(), "outlier_weight"_a.noconvert());

  nb::class_<Builder>(m, "Builder", "Takes a program piece by piece; finish() gives the engine.")
      .def(nb::init<const std::string&>(), "path"_a)
      .def("buffer", [](Builder& b, int width) { return b.open().add_buffer(width); }, "width"_a)
      .def("embeddings", &Builder::embeddings, "words"_a.noconvert(), "positions"_a.noconvert(),
           "types"_a.noconvert().none(), "trigram"_a, "gathered"_a, "norm_scale"_a.noconvert().none(),
           "norm_bias"_a.noconvert().none(), "eps"_a)
      .def("dense", &Builder::dense, "branch"_a, "source"_a, "target"_a, "weight"_a, "bias"_a.noconvert(),
           "activation"_a, "residual"_a.none(), "carry"_a.noconvert().none(), "norm_scale"_a.noconvert().none(),
           "norm_bias"_a.noconvert().none(), "eps"_a)
      .def("attention", &Builder::attention, "query"_a, "key"_a, "value"_a, "target"_a, "heads"_a)
      .def("state", &Builder::state, "scale"_a.noconvert(), "shift"_a.noconvert())
      .def("branch", [](Builder& b) { return b.open().add_branch(); })
      .def("finish", &Builder::finish, nb::rv_policy::take_ownership);

  nb::class_<pb::Engine>(m, "Engine", "A model that is ready to run; safe to share between threads.")
      .def_prop_ro("path", [](const pb::Engine& e) { return e.model().kernels.name; })
      .def("result_width", [](const pb::Engine& e, int branch) { return e.model().result_width(branch); })
      .def("run", &run, "ids"_a.noconvert(), "types"_a.noconvert().none(), "ends"_a.noconvert(), "branch"_a,
           "rows"_a.noconvert().none(), "threads"_a, "out"_a.noconvert());
}
