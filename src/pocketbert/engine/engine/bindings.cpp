// The Python module pocketbert._native. The type and shape of arrays are checked here, their values in model.cpp and
// engine.cpp; pocketbert.runtime.native turns ValueError into the library's own errors.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <thread>

#include "engine/engine.h"
#include "isa/cpu.h"

namespace nb = nanobind;
using namespace nb::literals;
using pb::Index;

namespace {

template <class T, size_t N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T, size_t N>
using Out = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Columns = std::tuple<Index, Index, Index>;              // buffer, start, stop
using Norm = std::tuple<In<float, 1>, In<float, 1>, double>;  // scale, bias, eps

pb::Span span(const Columns& c) {
  const auto [buffer, start, stop] = c;
  if (start < 0 || stop <= start) throw std::invalid_argument("a span's columns must ascend from 0");
  return {buffer, start, stop - start};
}

template <class T>
pb::Matrix<T> matrix(const In<T, 2>& array) {
  return {array.data(), static_cast<Index>(array.shape(0)), static_cast<Index>(array.shape(1))};
}

pb::Integers integers(const In<int64_t, 1>& array) { return {array.data(), array.shape(0)}; }

void expect(Index have, Index want, const char* what) {
  if (have != want)
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(have) + " values; " +
                                std::to_string(want) + " are expected");
}

// The values of an array that must have this many; where it stands in a tuple, None is taken for an array.
const float* data(const In<float, 1>& array, Index size, const char* what) {
  if (!array.is_valid()) throw std::invalid_argument(std::string(what) + " is None");
  expect(array.shape(0), size, what);
  return array.data();
}

std::optional<pb::Norm> view(const std::optional<Norm>& norm, Index width) {
  if (!norm) return {};
  const auto& [scale, bias, eps] = *norm;
  return pb::Norm{data(scale, width, "a norm's scale"), data(bias, width, "a norm's bias"),
                  static_cast<float>(eps)};
}

struct Int8 {
  In<int8_t, 2> values;
  In<float, 1> scale;
  In<int64_t, 1> outliers;
  In<float, 2> outlier_weight;
};

struct Weight {
  std::variant<In<float, 2>, Int8> arrays;

  pb::WeightView view() const {
    if (const auto* floats = std::get_if<In<float, 2>>(&arrays)) return matrix<float>(*floats);
    const auto& [values, scale, outliers, outlier_weight] = std::get<Int8>(arrays);
    const auto bytes = matrix<int8_t>(values);
    expect(outlier_weight.shape(0), bytes.rows, "the outlier columns");
    expect(outlier_weight.shape(1), outliers.shape(0), "an outlier row");
    return pb::Int8View{bytes, data(scale, bytes.rows, "a weight's scale"), integers(outliers), outlier_weight.data()};
  }
};

struct Builder {
  explicit Builder(const std::string& path) : model(std::make_unique<pb::Model>(pb::choose_path(path))) {}

  pb::Model& open() {
    if (!model) throw std::invalid_argument("the model was built already");
    return *model;
  }

  void dense(const Columns& source, const Columns& target, const Weight& weight, const In<float, 1>& bias,
             const std::string& activation, const std::optional<Columns>& residual,
             const std::optional<In<float, 1>>& carry, const std::optional<Norm>& norm) {
    pb::DenseView dense;
    dense.source = span(source);
    dense.target = span(target);
    dense.activation = activation;
    dense.weight = weight.view();
    const Index out = pb::rows(dense.weight);
    dense.bias = data(bias, out, "a bias");
    if (residual) dense.residual = span(*residual);
    if (carry) dense.carry = data(*carry, out, "a carry");
    dense.norm = view(norm, out);
    open().add_dense(dense);
  }

  void embeddings(const Weight& words, const In<float, 2>& positions, const std::optional<In<float, 2>>& types,
                  bool trigram, std::optional<Index> gathered, const std::optional<Norm>& norm) {
    const Index width = open().stream_width();
    expect(positions.shape(1), width, "a row of the position table");
    if (types) expect(types->shape(1), width, "a row of the token type table");
    pb::Embeddings e{words.view(), matrix<float>(positions), {}, trigram, gathered, view(norm, width), {}};
    if (types) e.types = matrix<float>(*types);
    e.owner = std::make_shared<std::tuple<Weight, In<float, 2>, std::optional<In<float, 2>>>>(words, positions, types);
    open().set_embeddings(std::move(e));
  }

  void attention(const Columns& query, const Columns& key, const Columns& value, const Columns& target, Index heads) {
    open().add_attention({span(query), span(key), span(value), span(target), heads});
  }

  void state(const In<float, 1>& scale, const In<float, 1>& shift) {
    const Index width = open().stream_width();
    open().set_state({data(scale, width, "the state's scale"), data(shift, width, "the state's shift")});
  }

  pb::Engine* finish() {
    open().finish();
    return new pb::Engine(std::move(model));
  }

  std::unique_ptr<pb::Model> model;
};

// Runs native code without the GIL.
//
// While the interpreter finalizes, a daemon thread that asks for the GIL is ended by unwinding its stack, which makes
// C++ call abort(). So an exit hook waits for threads that are about to ask, and later ones sleep until the process
// ends.
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

  // Called at exit, by the thread that finalizes the interpreter.
  static void close() {
    closer = std::this_thread::get_id();
    closing.store(true);
    const nb::gil_scoped_release release;
    while (asking.load() > 0) std::this_thread::yield();
  }

 private:
  static inline std::atomic<int> asking{0};  // threads between the check of `closing` and the GIL
  static inline std::atomic<bool> closing{false};
  static inline std::thread::id closer;
};

void run(const pb::Engine& engine, const In<int64_t, 1>& ids, const std::optional<In<int64_t, 1>>& types,
         const In<int64_t, 1>& ends, std::optional<Index> branch, const std::optional<In<int64_t, 1>>& rows,
         int threads, const Out<float, 2>& out) {
  pb::Batch batch{integers(ids), {}, integers(ends)};
  if (types) batch.types = integers(*types);
  if (types) expect(types->shape(0), batch.tokens(), "token_type_ids");
  pb::Wanted wanted{branch, {}};
  if (rows) wanted.rows = integers(*rows);
  expect(out.shape(0), rows ? rows->shape(0) : ids.shape(0), "the result's rows");
  expect(out.shape(1), engine.model().result_width(branch), "a row of the result");
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

  nb::class_<Weight>(m, "Weight", "A weight (out, in): float32, or int8 with scales and float32 outlier columns.")
      .def_static(
          "floats", [](const In<float, 2>& values) { return Weight{values}; }, "values"_a.noconvert())
      .def_static(
          "int8",
          [](const In<int8_t, 2>& values, const In<float, 1>& scale, const In<int64_t, 1>& outliers,
             const In<float, 2>& outlier_weight) { return Weight{Int8{values, scale, outliers, outlier_weight}}; },
          "values"_a.noconvert(), "scale"_a.noconvert(), "outliers"_a.noconvert(), "outlier_weight"_a.noconvert());

  nb::class_<Builder>(m, "Builder",
                      "Takes a program piece by piece; what follows branch() is that branch's; finish() ends it.")
      .def(nb::init<const std::string&>(), "path"_a)
      .def("buffer", [](Builder& b, Index width) { return b.open().add_buffer(width); }, "width"_a)
      .def("embeddings", &Builder::embeddings, "words"_a, "positions"_a.noconvert(), "types"_a.noconvert().none(),
           "trigram"_a, "gathered"_a.none(), "norm"_a.noconvert().none())
      .def("dense", &Builder::dense, "source"_a, "target"_a, "weight"_a, "bias"_a.noconvert(), "activation"_a,
           "residual"_a.none(), "carry"_a.noconvert().none(), "norm"_a.noconvert().none())
      .def("attention", &Builder::attention, "query"_a, "key"_a, "value"_a, "target"_a, "heads"_a)
      .def("state", &Builder::state, "scale"_a.noconvert(), "shift"_a.noconvert())
      .def("branch", [](Builder& b) { return b.open().add_branch(); })
      .def("finish", &Builder::finish, nb::rv_policy::take_ownership);

  nb::class_<pb::Engine>(m, "Engine", "A model that is ready to run; safe to share between threads.")
      .def_prop_ro("path", [](const pb::Engine& e) { return e.model().kernels.name; })
      .def(
          "result_width",
          [](const pb::Engine& e, std::optional<Index> branch) { return e.model().result_width(branch); },
          "branch"_a.none())
      .def("run", &run, "ids"_a.noconvert(), "types"_a.noconvert().none(), "ends"_a.noconvert(), "branch"_a.none(),
           "rows"_a.noconvert().none(), "threads"_a, "out"_a.noconvert());
}
