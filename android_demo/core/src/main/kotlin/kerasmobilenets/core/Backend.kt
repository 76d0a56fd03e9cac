// What can run a model, and the name it goes by on the command line and in the table.

package kerasmobilenets.core

/** CPU with XNNPACK, GPU, or NNAPI (all of its accelerators, or the one that is named). */
data class Backend(val kind: Kind, val threads: Int = 1, val accelerator: String? = null) {
    enum class Kind { CPU, GPU, NNAPI }

    /** Such as cpu-4, gpu, nnapi or nnapi:google-edgetpu. */
    val id: String
        get() = when (kind) {
            Kind.CPU -> "cpu-$threads"
            Kind.GPU -> "gpu"
            Kind.NNAPI -> if (accelerator == null) "nnapi" else "nnapi:$accelerator"
        }

    /** As results.json names it: threads stand apart there. */
    val resultName: String get() = if (kind == Kind.CPU) "xnnpack" else id

    companion object {
        val STANDARD = listOf(Backend(Kind.CPU, 1), Backend(Kind.CPU, 4), Backend(Kind.GPU), Backend(Kind.NNAPI))

        /** The backend of an `id`; IllegalArgumentException for anything else. */
        fun of(id: String): Backend {
            val cpu = Regex("cpu-([1-9])").matchEntire(id)
            val named = Regex("nnapi:(.+)").matchEntire(id)
            return when {
                cpu != null -> Backend(Kind.CPU, cpu.groupValues[1].toInt())
                id == "gpu" -> Backend(Kind.GPU)
                id == "nnapi" -> Backend(Kind.NNAPI)
                named != null -> Backend(Kind.NNAPI, accelerator = named.groupValues[1])
                else -> throw IllegalArgumentException("unknown backend $id: cpu-1, cpu-4, gpu, nnapi or nnapi:NAME")
            }
        }
    }
}
