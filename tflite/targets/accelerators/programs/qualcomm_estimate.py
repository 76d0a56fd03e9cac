"""Prints the microseconds that Qualcomm's libraries simulate for a graph: qualcomm_estimate.py GRAPH.dlc CHIP

LiteRT's compiler has the figure made, in a profile that it does not show, so the graph that it writes down is finalized
here once more, by the functions of QNN's C interface (QnnInterface.h, QnnSystemInterface.h), at that interface's own
default of optimization. Their places in its tables are those of version 2.40, and no other is asked.
"""

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_uint32, c_uint64, c_void_p
from pathlib import Path

import onnxruntime_qnn

QNN = Path(onnxruntime_qnn.__file__).parent
VERSION, FUNCTIONS, SYSTEM_FUNCTIONS = (2, 40), 75, 13
BACKEND_CREATE, CONTEXT_CREATE, GRAPH_FINALIZE, GRAPH_RETRIEVE, PROFILE_CREATE = 1, 9, 19, 20, 28
PROFILE_EVENTS, PROFILE_SUB_EVENTS, PROFILE_EVENT_DATA, DEVICE_CREATE = 30, 31, 32, 40
DLC_CREATE, DLC_COMPOSE = 8, 10
TIME = b"Simulated (Accelerator exec time us)"


class Version(Structure):
    """Qnn_Version_t."""

    _fields_ = (("major", c_uint32), ("minor", c_uint32), ("patch", c_uint32))


class Interface(Structure):
    """QnnInterface_t."""

    _fields_ = (
        *(("backend", c_uint32), ("name", c_char_p), ("core", Version), ("own", Version)),
        ("functions", c_void_p * FUNCTIONS),
    )


class SystemInterface(Structure):
    """QnnSystemInterface_t."""

    _fields_ = (
        *(("backend", c_uint32), ("name", c_char_p), ("version", Version)),
        ("functions", c_void_p * SYSTEM_FUNCTIONS),
    )


class ChipConfig(Structure):
    """QnnHtpDevice_CustomConfig_t, of the option that names the chip by its number."""

    _fields_ = (("option", c_uint32), ("_", c_uint32), ("chip", c_uint32), ("rest", c_uint64 * 4))


class DeviceConfig(Structure):
    """QnnDevice_Config_t, of the option that holds a back end's own."""

    _fields_ = (("option", c_uint32), ("custom", c_void_p), ("rest", c_uint64 * 4))


class Event(Structure):
    """QnnProfile_EventData_t."""

    _fields_ = (("type", c_uint32), ("unit", c_uint32), ("value", c_uint64), ("name", c_char_p))


def interface(library, function, kind):
    """The first table of functions that a library provides."""
    tables, count = POINTER(POINTER(kind))(), c_uint32()
    getattr(ctypes.CDLL(str(QNN / library)), function)(byref(tables), byref(count))
    if not count.value:
        sys.exit(f"{library} provides no interface")
    return tables[0].contents


def call(table, place, *arguments, types):
    """Calls a function of a table, which answers with 0."""
    status = ctypes.CFUNCTYPE(c_uint64, *types)(table.functions[place])(*arguments)
    if status:
        sys.exit(f"function {place} of QNN answers with error {status}")


def made(table, place, *arguments, types):
    """The handle that a function makes as its last argument."""
    handle = c_void_p()
    call(table, place, *arguments, ctypes.addressof(handle), types=(*types, c_void_p))
    return handle


def events(table, place, of):
    """Names and values of a profile's events, and of theirs."""
    numbers, count = POINTER(c_uint64)(), c_uint32()
    kind = c_void_p if place == PROFILE_EVENTS else c_uint64
    call(table, place, of, ctypes.addressof(numbers), ctypes.addressof(count), types=(kind, c_void_p, c_void_p))
    for number in numbers[: count.value]:
        event = Event()
        call(table, PROFILE_EVENT_DATA, number, ctypes.addressof(event), types=(c_uint64, c_void_p))
        yield event.name, event.value
        yield from events(table, PROFILE_SUB_EVENTS, number)


def simulated(dlc, chip):
    """Microseconds of one inference."""
    qnn = interface("libQnnHtp.so", "QnnInterface_getProviders", Interface)
    system = interface("libQnnSystem.so", "QnnSystemInterface_getProviders", SystemInterface)
    if (qnn.core.major, qnn.core.minor) != VERSION:
        sys.exit(f"QNN is of version {qnn.core.major}.{qnn.core.minor}, not {VERSION[0]}.{VERSION[1]}")
    one, two, three = (c_void_p,), (c_void_p,) * 2, (c_void_p,) * 3
    backend = made(qnn, BACKEND_CREATE, None, None, types=two)
    chosen = ChipConfig(chip=chip)
    config = DeviceConfig(custom=ctypes.addressof(chosen))
    configs = (c_void_p * 2)(ctypes.addressof(config), None)
    device = made(qnn, DEVICE_CREATE, None, ctypes.addressof(configs), types=two)
    context = made(qnn, CONTEXT_CREATE, backend, device, None, types=three)
    file = made(system, DLC_CREATE, None, str(dlc).encode(), types=(c_void_p, c_char_p))
    graphs, count = c_void_p(), c_uint32()
    call(
        *(system, DLC_COMPOSE, file, None, 0, backend, context, qnn, 1),
        *(ctypes.addressof(graphs), ctypes.addressof(count)),
        types=(*two, c_uint32, *two, Interface, c_uint32, *two),
    )
    graph = made(qnn, GRAPH_RETRIEVE, context, dlc.stem.encode(), types=(c_void_p, c_char_p))
    profile = made(qnn, PROFILE_CREATE, backend, 1, types=(*one, c_uint32))
    call(qnn, GRAPH_FINALIZE, graph, profile, None, types=three)
    return dict(events(qnn, PROFILE_EVENTS, profile))[TIME]


print("microseconds", simulated(Path(sys.argv[1]), int(sys.argv[2])))
