package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class DelegationTest {
    // Lines as TensorFlow Lite 2.16.1 writes them (the text stands in libtensorflowlite_jni.so).
    private val log = sequenceOf(
        "Created TensorFlow Lite delegate for NNAPI.",
        "Replacing 62 out of 65 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 2 partitions for the whole graph.",
        "Replacing 3 out of 65 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 3 partitions for the whole graph.",
    )

    @Test
    fun `the log line of the asked delegate counts`() {
        assertEquals(Delegation(65, 62, 2), Delegation.fromLog(log, "Nnapi"))
        assertEquals(Delegation(65, 3, 3), Delegation.fromLog(log, "XNNPack"))
        assertEquals(null, Delegation.fromLog(log, "Gpu"))
    }

    @Test
    fun `an execution plan as long as the graph means that nothing was taken`() {
        assertEquals(Delegation(65, 0, 0), Delegation.fromPlan(65, 65))
    }

    @Test
    fun `a plan of one node means that all was taken`() {
        assertEquals(Delegation(65, 65, 1), Delegation.fromPlan(65, 1))
    }

    @Test
    fun `between them the plan gives the least that was taken`() {
        assertEquals(Delegation(65, 61, null), Delegation.fromPlan(65, 5))
    }

    @Test
    fun `NNAPI names its accelerators when it refuses one`() {
        val message = "Internal error: Failed to apply delegate: Could not find the specified NNAPI accelerator: none-such. " +
            "Must be one of: {google-edgetpu,nnapi-reference}. Node number 66 (TfLiteNnapiDelegate) failed to prepare."
        assertEquals(listOf("google-edgetpu", "nnapi-reference"), acceleratorsIn(message))
        assertEquals(emptyList<String>(), acceleratorsIn("Must be one of: {}."))
        assertEquals(emptyList<String>(), acceleratorsIn("some other failure"))
    }
}
