"""The processor as Linux describes it in /proc/cpuinfo."""

from functools import cache


@cache
def processor_fields() -> dict[str, str]:
    """Fields of the first processor (`vendor_id`, `model name`, `flags` ...) as Linux names them; empty where there are none."""
    fields = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, colon, value = line.partition(":")
                if not colon:  # the next processor
                    break
                fields[name.strip()] = value.strip()
    except OSError:
        pass
    return fields


def cpu_flags() -> set[str]:
    """Instruction-set flags of the first processor; empty where they cannot be read."""
    return set(processor_fields().get("flags", "").split())
