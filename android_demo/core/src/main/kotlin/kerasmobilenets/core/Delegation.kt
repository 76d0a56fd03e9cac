// How much of a graph is delegated: from the runtime's own log line, or from the length of its execution plan.

package kerasmobilenets.core

/**
 * What is delegated.
 *
 * @property total Operators in the file.
 * @property delegated How many of them are delegated.
 * @property partitions In how many partitions; null when the runtime does not say, and `delegated` is then the least
 *     that fits.
 */
data class Delegation(val total: Int, val delegated: Int, val partitions: Int?) {
    companion object {
        private val LINE =
            Regex("""Replacing (\d+) out of (\d+) node\(s\) with delegate \((\S+)\) node, yielding (\d+) partitions""")

        /**
         * Reads the runtime's log.
         *
         * @param delegate Part of the delegate's name, such as "NnapiDelegate".
         * @return What it took last; null when the log does not name it.
         */
        fun fromLog(lines: Sequence<String>, delegate: String): Delegation? = lines
            .mapNotNull { LINE.find(it)?.groupValues }
            .lastOrNull { delegate in it[3] }
            ?.let { (_, delegated, total, _, partitions) -> Delegation(total.toInt(), delegated.toInt(), partitions.toInt()) }

        /**
         * Counts by the execution plan, in which each partition stands as one node.
         *
         * @param total Operators in the file.
         * @param plan Nodes in the plan after the delegate was applied, with no other delegate at work.
         */
        fun fromPlan(total: Int, plan: Int): Delegation = when {
            plan >= total -> Delegation(total, 0, 0)
            plan == 1 -> Delegation(total, total, 1)
            else -> Delegation(total, total - plan + 1, null)
        }
    }
}

/** The accelerators that NNAPI names when it is asked for one that it does not have. */
fun acceleratorsIn(message: String): List<String> =
    Regex("""Must be one of: \{([^}]*)}""").find(message)?.groupValues?.get(1).orEmpty()
        .split(',').map(String::trim).filter(String::isNotEmpty)
