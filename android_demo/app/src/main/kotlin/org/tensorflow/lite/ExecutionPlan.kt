// The one thing of the runtime that is not public: how many nodes it will execute, in which each piece that a delegate
// took counts as one.

package org.tensorflow.lite

/** Nodes in the execution plan. */
fun executionPlanLength(interpreter: Interpreter): Int = interpreter.getExecutionPlanLength()
