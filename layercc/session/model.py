"""The compiled model: a callable on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.defaults import bind_defaults
from ir.diagnostics import InputError, LayerccError
from ir.graph import Graph
from ir.registry import handles_in
from layercc.cores import usable_cores
from layercc.options import Options, target_of
from layercc.session.inputs import DENSE, by_name, check_sizes
from layercc.session.plans import AbsentPlanner, Planner, cannot_run, decides
from layercc.session.specialization import Optimized
from layercc.target import DeviceRunnable, Runnable, Target

if TYPE_CHECKING:
    from layercc.profiling.profile import Profile

_ndarray = np.ndarray
#: Sets of overridden defaults whose models are kept; the oldest go first.
_MOST_TAKING = 16


class CompiledModel:
    """A graph compiled for a target; call it with arrays.

    `graph` is the model as given. Calls may come from several threads at once. A new set of input
    shapes is planned on first use, in milliseconds; nothing is compiled for it unless it needs a
    kernel not met before.

    Raises ShapeError for a graph whose shapes do not fit together, UnsupportedError for one with
    ops that are not known.
    """

    def __init__(
        self,
        graph: Graph,
        options: Options,
        optimized: Optimized | None = None,
        example_inputs: Any = None,
        loaded: bool = False,
    ) -> None:
        """`optimized` is the graph, its defaults bound, after `optimize`, if the caller has it.

        `example_inputs`, as in `lc.compile`, say for which shapes and values the first plan is. One
        that is `loaded` may be for a target that cannot be opened here: then it refuses to run.
        """
        self.graph = graph
        self.options = options
        self.threads = usable_cores() if options.threads is None else options.threads
        self._planner = self._made_planner(bind_defaults(graph), optimized, loaded)
        self._inputs = self._planner.inputs
        self._inputs.optional = [value for value in graph.inputs if value.name in graph.defaults]
        self._dtypes = self._inputs.dtypes
        #: For calls that give inputs which have a default: models in which they have none.
        self._taking: dict[frozenset[str], CompiledModel] = {}
        if example_inputs is None:
            self._planner.plan_ahead()
        else:
            self._plan_for(example_inputs)
        if not options.target.runs_here():
            self._run = self._refuse  # type: ignore[method-assign]

    def __call__(self, /, *arrays: Any, **named: Any) -> Any:
        """Runs the model: arrays by position or by input name.

        Inputs that have a default may be left out. Returns one array, or a tuple in `graph.outputs`
        order. Takes anything with `__array__` or `__dlpack__`. Raises InputError when the arrays do
        not fit the inputs.
        """
        if named or len(arrays) != len(self._dtypes):
            outputs = self._run_given(arrays, named)
        else:
            outputs = self._run(arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(
        self, inputs: Mapping[str, Any], *, device: bool = False, stream: Any = None
    ) -> dict[str, Any]:
        """Runs the model on arrays by input name; returns arrays by output name.

        On a target that has memory of its own, as `"cuda"`, arrays that lie there are taken without
        a copy, and with `device=True` the results stay there: objects with `__dlpack__` and
        `numpy()`, which may not be computed yet. The run is queued on the caller's `stream`: an
        object of PyTorch's, CuPy's or Numba's, or its handle; by default the one that these
        libraries work on unless told otherwise.

        Raises InputError when `inputs` is no mapping, its arrays do not fit, or the target has no
        memory of its own; TypeError for a `stream` that is none.
        """
        if type(inputs) is not dict:
            inputs = by_name(inputs)
        if device or stream is not None:
            model = self._for_inputs((), inputs)
            outputs = model._run_there(model._inputs.in_order((), inputs), device, stream)
        else:
            outputs = self._run_given((), inputs)
        return dict(zip(self.graph.output_names, outputs, strict=True))

    def plan(
        self, shapes: Mapping[str, tuple[int, ...]], values: Mapping[str, Any] | None = None
    ) -> Runnable:
        """The plan for these input shapes, made now if need be; a partition where some
        nodes cannot be compiled.

        `values`: arrays of inputs, for models in which values decide shapes; the others count as
        zeros. Raises as a call does.
        """
        shapes, values = by_name(shapes, "shapes"), by_name({} if values is None else values)
        for name, shape in shapes.items():
            check_sizes(name, shape)
        model = self._for_inputs((), {**shapes, **values})
        if model is not self:
            return model.plan(shapes, values)
        zeros = {
            name: np.zeros(shape, dtype)
            for name, shape, dtype in zip(
                self._inputs.names, self._inputs.in_order((), shapes), self._dtypes, strict=True
            )
        }
        given = self._inputs.in_order((), {**zeros, **values})
        return self._planner.plan_for(self._inputs.converted(given))

    def profile(self, /, *arrays: Any, seconds: float = 2.0, **named: Any) -> Profile:
        """Where the time of a call with these arrays goes: kernel calls, layers, kinds of work.

        Runs the model for about so many seconds, recorded and not in turns; shorter where the
        times settle sooner, longer where a run takes long. Raises as a call does, ValueError for
        seconds that are not positive.
        """
        from layercc.profiling.measure import Subject, measure

        self(*arrays, **named)
        model = self._for_inputs(arrays, named)
        given = model._inputs.converted(model._inputs.in_order(arrays, named))
        planner, threads, target = model._planner, model.threads, self.options.target
        plan = planner.plan_for(given)
        limits = target.limits(threads)
        shapes = {n: array.shape for n, array in zip(model._inputs.names, given, strict=True)}
        subject = Subject(
            lambda: self(*arrays, **named),
            lambda: plan.run(given, threads),
            lambda: planner.record(given, threads)[1],
            self.graph.name,
            {node.name: node.source.layer if node.source else "" for node in self.graph.nodes},
            str(target) if limits is None else limits.device,
            threads if target.takes_threads else 1,
            shapes,
            limits,
        )
        return measure(subject, seconds)

    def to(self, target: str | Target) -> CompiledModel:
        """The same model, compiled for another target at the same precision.

        Raises as `lc.compile` does.
        """
        chosen = target_of(target)
        threads = self.options.threads if chosen.takes_threads else None
        options = Options(chosen, self.options.precision, threads)
        return type(self)(self.graph, options)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.graph, self.options, type(self))
        handles = [handle for handle in handles_in(self.graph) if handle.is_importable]
        return restored, (*parts, handles) if handles else parts

    def _made_planner(self, graph: Graph, optimized: Optimized | None, loaded: bool) -> Planner:
        try:
            return Planner(graph, self.options, optimized)
        except LayerccError:
            if not loaded or self.options.target.runs_here():
                raise
            return AbsentPlanner(graph, self.options)

    def _plan_for(self, examples: Any) -> None:
        """Makes the plan that a call with these arrays runs."""
        arrays: Sequence[Any] = ()
        named: Mapping[str, Any] = {}
        if isinstance(examples, Mapping):
            named = dict(examples)
        else:
            arrays = examples if isinstance(examples, (tuple, list)) else (examples,)
        model = self._for_inputs(arrays, named)
        given = model._inputs.in_order(arrays, named)
        model._planner.plan_for(model._inputs.converted(given))

    def _run_given(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[np.ndarray]:
        model = self._for_inputs(arrays, named) if self.graph.defaults else self
        return model._run(model._inputs.in_order(arrays, named))

    def _for_inputs(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> CompiledModel:
        """The model that takes just these inputs: this one, unless some override a default.

        Where defaults stay they are constants, which are folded and packed; so each set of inputs
        that is given has a model of its own, compiled when it is first given.
        """
        names = {*self.graph.input_names[: len(arrays)], *named}
        overridden = frozenset(names & self.graph.defaults.keys())
        if not overridden:
            return self
        model = self._taking.get(overridden)
        if model is None:
            model = CompiledModel(bind_defaults(self.graph, overridden), self.options)
            if len(self._taking) >= _MOST_TAKING:
                self._taking.pop(next(iter(self._taking)), None)
            self._taking[overridden] = model
        model.threads = self.threads
        return model

    def _refuse(self, arrays: Any) -> list[np.ndarray]:
        """What a run is, where this machine lacks what the target needs."""
        raise cannot_run(self.options.target)

    def _no_memory(self) -> LayerccError:
        target = self.options.target
        if not target.runs_here():
            return cannot_run(target)
        return InputError(
            f"the model is compiled for {target}, which has no memory and streams of its own; "
            "device and stream would fit with target='cuda'"
        )

    def _run_there(self, arrays: Any, device: bool = False, stream: Any = None) -> list[Any]:
        """What a run is, on a target that has memory of its own."""
        planner, memory = self._planner, self._inputs.memory
        if memory is None:
            raise self._no_memory()
        where = memory.stream(stream)
        inputs = self._inputs.taken(arrays, where)
        hosted = all(type(array) is _ndarray for array in inputs)
        key: list[Any] = [array.shape for array in inputs]
        for index in planner.specialized:
            if type(inputs[index]) is not _ndarray:
                inputs[index] = memory.host(inputs[index], where)
            key.append(inputs[index].tobytes())
        plan = planner.plans.get(tuple(key))
        if plan is None:
            read = [
                memory.host(array, where)
                if type(array) is not _ndarray and decides(array)
                else array
                for array in inputs
            ]
            plan = planner.plan_for(read)
        if isinstance(plan, DeviceRunnable) and (device or stream is not None or not hosted):
            return plan.run_there(inputs, where, device)
        if not hosted:
            inputs = [a if type(a) is _ndarray else memory.host(a, where) for a in inputs]
        outputs = plan.run(inputs, self.threads)
        return [memory.put(array, where) for array in outputs] if device else outputs

    def _run(self, arrays: Any) -> list[np.ndarray]:
        # What every call pays for: a microsecond or two, counted in tens of nanoseconds a line.
        key: list[Any] = []
        for array, dtype in zip(arrays, self._dtypes, strict=True):
            if (
                type(array) is not _ndarray
                or array.dtype != dtype
                or array.flags.num & DENSE != DENSE
            ):
                if self._inputs.memory is not None:
                    return self._run_there(arrays)
                arrays = self._inputs.converted(arrays)
                key = [array.shape for array in arrays]
                break
            key.append(array.shape)
        planner = self._planner
        for index in planner.specialized:
            key.append(arrays[index].tobytes())
        plan = planner.plans.get(tuple(key))
        if plan is None:
            plan = planner.plan_for(arrays)
        return plan.run(arrays, self.threads)


def restored(
    graph: Graph, options: Options, kind: type[CompiledModel], _: Sequence[Any] = ()
) -> CompiledModel:
    """A model from what is pickled of it; with it came what users have of ops, and so the modules
    that define these."""
    return kind(graph, options, loaded=True)
